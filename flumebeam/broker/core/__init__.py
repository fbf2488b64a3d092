"""The broker as pure state: connections, messages and the time in, bytes and events out. No I/O, no clock."""
