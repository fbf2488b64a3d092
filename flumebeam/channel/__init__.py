"""Flume's channel contract over a queue of the broker, usable without Beam."""
