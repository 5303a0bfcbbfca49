"""How fast a build is here, and what of it fits."""
