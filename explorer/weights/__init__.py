"""Somebody's GPT-2 checkpoint becomes a model folder that the engine can run.

Start at ``convert``.
"""
