"""Which model is in use, which is coming, and whether memory will do."""
