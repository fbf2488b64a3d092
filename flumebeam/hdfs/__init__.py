"""Targets: HDFS and local file systems behind one small contract, and the paths that events are written under."""
