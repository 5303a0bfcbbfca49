"""What a person tried and kept, in one SQLite file. Start at ``ledger``."""
