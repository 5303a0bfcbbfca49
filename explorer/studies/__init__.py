"""What is found out about a model: whether it is still the one that was made, how good it is.

A study needs two rooms that do not know each other: ``weights`` says what a model is made from,
``engine`` runs what was made of it. Each is plain work for a job, with progress.
"""
