"""Is a model what it was made to be, and what does each precision cost?"""
