"""The engine: token ids in, steps out. Start reading at ``lanes``."""
