"""The commands of the command line, one file each: the same engine and library without a window."""
