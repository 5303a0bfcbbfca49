"""A collection as a file for others."""
