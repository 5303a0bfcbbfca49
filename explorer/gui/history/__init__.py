"""The page of all hunts."""
