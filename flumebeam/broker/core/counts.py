"""Why messages left a queue without being consumed, or never came into it: what is counted."""

from __future__ import annotations

from enum import Enum

__all__ = ["Cause", "Count"]


class Count(Enum):
    """A counter of a queue. The values are the vendor's names, but for those of rejection, which it does not count."""

    DISABLED = "disabledDiscardedMsgCount"
    LOCAL = "noLocalDeliveryDiscardedMsgCount"
    LOW_PRIORITY = "lowPriorityMsgCongestionDiscardedMsgCount"
    OVER_QUOTA = "maxMsgSpoolUsageExceededDiscardedMsgCount"
    TOO_LARGE = "maxMsgSizeExceededDiscardedMsgCount"
    EXPIRED_DISCARDED = "maxTtlExpiredDiscardedMsgCount"
    EXPIRED_MOVED = "maxTtlExpiredToDmqMsgCount"
    EXPIRED_NOT_MOVED = "maxTtlExpiredToDmqFailedMsgCount"
    REDELIVERY_DISCARDED = "maxRedeliveryExceededDiscardedMsgCount"
    REDELIVERY_MOVED = "maxRedeliveryExceededToDmqMsgCount"
    REDELIVERY_NOT_MOVED = "maxRedeliveryExceededToDmqFailedMsgCount"
    REJECTED_DISCARDED = "rejectedDiscardedMsgCount"
    REJECTED_MOVED = "rejectedToDmqMsgCount"
    REJECTED_NOT_MOVED = "rejectedToDmqFailedMsgCount"


class Cause(Enum):
    """Why a queue gives a message up.

    With the counters for those deleted, moved to the dead message queue, and refused there and so deleted.
    """

    EXPIRED = (Count.EXPIRED_DISCARDED, Count.EXPIRED_MOVED, Count.EXPIRED_NOT_MOVED)
    REDELIVERY = (Count.REDELIVERY_DISCARDED, Count.REDELIVERY_MOVED, Count.REDELIVERY_NOT_MOVED)
    REJECTED = (Count.REJECTED_DISCARDED, Count.REJECTED_MOVED, Count.REJECTED_NOT_MOVED)
