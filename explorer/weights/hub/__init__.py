"""Models from the Hugging Face hub: planned, fetched, gone on with."""
