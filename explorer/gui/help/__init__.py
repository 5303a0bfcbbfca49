"""About, keys, and the documentation that ships."""
