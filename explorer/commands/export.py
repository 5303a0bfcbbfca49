"""``export``: one collection as JSONL, Markdown or a self-contained page."""
