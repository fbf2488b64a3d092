"""SMF, the wire protocol of Solace brokers, as a library without I/O: bytes to messages and back.

Layers, bottom up: ``values`` (one value), ``fields`` (a table of parameters), ``header`` and ``params`` (a frame and
its header parameters), one module per encapsulated protocol, ``messages`` (any frame), ``stream`` (bytes as they
arrive), ``pubmsg`` (the hot path of messages). Any input ends in a message or in a
:class:`~flumebeam.errors.ProtocolError`.
"""
