"""The library as a file: opened, written whole, checked, backed up, salvaged."""
