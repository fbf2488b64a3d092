"""The client side of the broker: options, the mapping of events to messages, and the one adapter to the vendor's client."""
