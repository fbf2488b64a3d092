"""The client side of the broker: options, mapping of events to messages, the one adapter to the vendor's client."""
