"""Long lists as cards, with a filter above them."""
