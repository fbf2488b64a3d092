"""The settings of queues and topic endpoints, by the vendor's names of their attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.partitions import MAX_PARTITIONS
from flumebeam.broker.core.queue_settings import DISCARD_BEHAVIORS, QueueSettings
from flumebeam.broker.semp.attributes import Attribute, kept_attributes, kept_values, shown_defaults

__all__ = ["ATTRIBUTES", "FIXED", "MEGABYTE", "change_settings", "default_values", "show_settings"]

MEGABYTE: Final = 1_000_000
_FIELDS: Final = {
    "deadMsgQueue": ("dead_message_queue", Attribute(default="#DEAD_MSG_QUEUE")),
    "deliveryCountEnabled": ("delivery_count", Attribute(default=False)),
    "deliveryDelay": ("delivery_delay_seconds", Attribute(default=0, high=2**32 - 1)),
    "egressEnabled": ("egress_enabled", Attribute(default=False)),
    "ingressEnabled": ("ingress_enabled", Attribute(default=False)),
    "maxBindCount": ("max_consumers", Attribute(default=1_000, high=10_000)),
    "maxDeliveredUnackedMsgsPerFlow": ("max_unacked", Attribute(default=10_000, low=1, high=1_000_000)),
    "maxMsgSize": ("max_message_bytes", Attribute(default=10_000_000, high=30_000_000)),
    "maxRedeliveryCount": ("max_redeliveries", Attribute(default=0, high=255)),
    "maxTtl": ("max_ttl_seconds", Attribute(default=0, high=2**32 - 1)),
    "partitionCount": ("partitions", Attribute(default=0, high=MAX_PARTITIONS)),
    "partitionRebalanceDelay": ("rebalance_delay_seconds", Attribute(default=5, high=2**32 - 1)),
    "partitionRebalanceMaxHandoffTime": ("max_handoff_seconds", Attribute(default=3, high=2**32 - 1)),
    "redeliveryEnabled": ("redelivery_enabled", Attribute(default=True)),
    "rejectLowPriorityMsgEnabled": ("reject_low_priority", Attribute(default=False)),
    "rejectLowPriorityMsgLimit": ("low_priority_limit", Attribute(default=0, high=2**32 - 1)),
    "rejectMsgToSenderOnDiscardBehavior": (
        "reject_on_discard",
        Attribute(default="when-queue-enabled", choices=DISCARD_BEHAVIORS),
    ),
    "respectMsgPriorityEnabled": ("respect_priority", Attribute(default=False)),
    "respectTtlEnabled": ("respect_ttl", Attribute(default=False)),
}
_QUOTA: Final = "maxMsgSpoolUsage"
_KEPT: Final = kept_attributes(
    (False, "respectDmqEligibleEnabled"),
    (200, "redeliveryDelayMultiplier"),
    (1_000, "redeliveryDelayInitialInterval"),
    (64_000, "redeliveryDelayMaxInterval"),
    ({"clearPercent": 18, "setPercent": 25}, "eventMsgSpoolUsageThreshold"),
    ({"clearPercent": 60, "setPercent": 80}, "eventBindCountThreshold eventRejectLowPriorityMsgLimitThreshold"),
)
ATTRIBUTES: Final = {
    **{name: attribute for name, (_, attribute) in _FIELDS.items()},
    **_KEPT,
    _QUOTA: Attribute(default=1_500, high=6_000_000),
}
FIXED: Final = {
    "consumerAckPropagationEnabled": Attribute(default=True, fixed=True),
    "redeliveryDelayEnabled": Attribute(default=False, fixed=True),
}
"""What is known of every kind of endpoint, and done as the vendor does it by default."""
_OF_THE_BROKER: Final = ("maxBindCount", "maxDeliveredUnackedMsgsPerFlow", "maxMsgSize", _QUOTA)
"""Attributes whose default is one of the broker's options."""


def show_settings(settings: QueueSettings) -> dict[str, Any]:
    """Return the attributes that settings are shown as."""
    shown = {name: getattr(settings, field) for name, (field, _) in _FIELDS.items()}
    return {**shown_defaults(_KEPT), **settings.kept, **shown, _QUOTA: _quota(settings)}


def _quota(settings: QueueSettings) -> int:
    # 0 MB is the vendor's way to say that only the last message is kept.
    return 0 if settings.last_value else max(settings.max_bytes // MEGABYTE, 1)


def change_settings(settings: QueueSettings, values: dict[str, Any]) -> QueueSettings:
    """Return settings with all attributes as ``values`` has them."""
    quota = values[_QUOTA]
    return replace(
        settings,
        # A limit that is not changed stays as it is to the byte.
        max_bytes=quota * MEGABYTE if quota and quota != _quota(settings) else settings.max_bytes,
        last_value=quota == 0,
        kept=kept_values(_KEPT, settings.kept, values),
        **{field: values[name] for name, (field, _) in _FIELDS.items()},
    )


def default_values(settings: QueueSettings) -> dict[str, Any]:
    """Return the attributes whose default depends on the broker, given its default settings."""
    shown = show_settings(settings)
    return {name: max(shown[name], 1) for name in _OF_THE_BROKER}
