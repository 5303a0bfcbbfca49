"""The window: shows what the floors below say, forwards what a person does.

Start at ``main_window``.
"""
