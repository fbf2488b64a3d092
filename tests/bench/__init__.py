"""What ``make bench`` measures: our parts beside the vendor's client, in one run, each in a process of its own."""
