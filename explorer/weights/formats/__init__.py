"""Readers of the files of a checkpoint, one format each, every one with suspicion."""
