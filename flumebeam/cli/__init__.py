"""The command ``flumebeam``: parses, calls, prints."""
