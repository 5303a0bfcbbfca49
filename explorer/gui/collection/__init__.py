"""Kept samples: the list of a collection, one in full, and the way out as a file."""
