"""Hostile bytes for the codec and for a broker with a client that is logged in: ``python -m tests.fuzz``."""
