"""What clients are told, in the words of the vendor's brokers, as far as more than one module says it."""

from __future__ import annotations

from typing import Final

from flumebeam.smf.values import Response

__all__ = [
    "NOT_PERMITTED",
    "OK",
    "QUEUE_SHUTDOWN",
    "TOO_MANY_FLOWS",
    "TOO_MANY_QUEUES",
    "TOO_MANY_SUBSCRIPTIONS",
    "UNKNOWN_ENDPOINT",
    "UNKNOWN_QUEUE",
    "UNKNOWN_SESSION",
]

NOT_PERMITTED: Final = Response(403, "Permission Not Allowed")
OK: Final = Response(200, "OK")
QUEUE_SHUTDOWN: Final = Response(503, "Queue Shutdown")
TOO_MANY_FLOWS: Final = Response(503, "Max Flows Exceeded")
TOO_MANY_QUEUES: Final = Response(503, "Max Num Queues Exceeded")
TOO_MANY_SUBSCRIPTIONS: Final = Response(400, "Max Num Subscriptions Exceeded")
UNKNOWN_ENDPOINT: Final = Response(503, "Unknown Durable Topic Endpoint")
UNKNOWN_QUEUE: Final = Response(503, "Unknown Queue")
UNKNOWN_SESSION: Final = Response(503, "Unknown Transacted Session")
