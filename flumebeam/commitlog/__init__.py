"""The commit log of a queue in a target directory: exactly once over a broker that has no offsets."""
