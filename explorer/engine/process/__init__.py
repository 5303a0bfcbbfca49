"""The engine in processes of its own: the child's side, the window's side, up to two of them."""
