"""The machine: its devices, its memory, and what a container leaves of both."""
