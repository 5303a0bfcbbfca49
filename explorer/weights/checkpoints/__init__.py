"""Somebody's GPT-2, in any of three layouts, as named tensors."""
