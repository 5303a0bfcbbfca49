"""What the operating system gives and what is kept in small files: folders, settings, locks."""
