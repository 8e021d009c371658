"""The command line ``pingti``: a module for each group of commands, imported without what they work with."""
