"""What several pages show of models: the picker, importing, and what goes on with them."""
