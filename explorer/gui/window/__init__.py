"""The window itself: pages, menus, status bar, and the wiring between them."""
