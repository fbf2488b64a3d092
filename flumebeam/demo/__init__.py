"""The demonstration: the whole house run once in front of a newcomer, with proof at the end."""
