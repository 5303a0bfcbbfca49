"""Text to token ids and back, and what a prompt is beyond its ids."""
