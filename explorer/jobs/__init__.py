"""Work in child processes: started, heard of, ended."""
