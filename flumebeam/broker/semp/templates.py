"""Templates of queues and topic endpoints in the management protocol: the settings of endpoints, and a name filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from flumebeam.broker.core.access import drop_setup, put_setup
from flumebeam.broker.core.setting_up import PERMISSIONS
from flumebeam.broker.core.templates import QueueTemplate, TopicEndpointTemplate
from flumebeam.broker.core.topics import invalid_topic
from flumebeam.broker.core.vpn import Vpn
from flumebeam.broker.semp.attributes import Attribute
from flumebeam.broker.semp.endpoint_settings import ATTRIBUTES, FIXED, change_settings, default_values, show_settings
from flumebeam.broker.semp.replies import Problem, Status
from flumebeam.broker.semp.resources import Resource, World

__all__ = ["QUEUE_TEMPLATES", "TOPIC_ENDPOINT_TEMPLATES"]

_MAX_NAME: Final = 255
_BEHAVIOR: Final = "rejectMsgToSenderOnDiscardBehavior"
_SHARED: Final = {
    name: attribute
    for name, attribute in ATTRIBUTES.items()
    if not name.startswith("partition") and name not in ("deliveryCountEnabled", "egressEnabled", "ingressEnabled")
}
_OWN: Final = {
    "accessType": Attribute(default="exclusive", choices=("exclusive", "non-exclusive")),
    "permission": Attribute(default="no-access", choices=tuple(PERMISSIONS)),
    **FIXED,
}


def _resource(
    name: str,
    key: str,
    name_filter: str,
    noun: str,
    kind: type[QueueTemplate],
    members: Callable[[Vpn], Mapping[str, QueueTemplate]],
    extra: Mapping[str, Attribute],
    enabled: str,
) -> Resource:
    is_topic_endpoint = kind is TopicEndpointTemplate
    attributes = {
        **_SHARED,
        **_OWN,
        key: Attribute(default="", required=True, identifying=True),
        name_filter: Attribute(default=""),
        **extra,
    }

    def show(world: World, template: QueueTemplate) -> dict[str, Any]:
        settings = show_settings(template.settings)
        if settings[_BEHAVIOR] == "when-queue-enabled":
            settings[_BEHAVIOR] = enabled
        return {
            **{name: one.default for name, one in attributes.items() if one.fixed},
            **{name: settings[name] for name in _SHARED},
            "accessType": "exclusive" if template.exclusive else "non-exclusive",
            "permission": next(name for name, one in PERMISSIONS.items() if one is template.permission),
            name_filter: template.name_filter,
        }

    def put(world: World, vpn: Vpn, name: str, template: QueueTemplate | None, values: dict[str, Any]) -> QueueTemplate:
        if not name or len(name.encode()) > _MAX_NAME:
            raise Problem(Status.INVALID_PARAMETER, f"{key} must have 1 to {_MAX_NAME} bytes.")
        former = template or kind(name=name, settings=vpn.default_settings(is_topic_endpoint))
        values = show(world, former) | values
        if values[name_filter] and invalid_topic(values[name_filter]):
            raise Problem(Status.INVALID_PARAMETER, f"{name_filter} must have up to 250 bytes and 128 levels.")
        wanted = show_settings(former.settings) | {one: values[one] for one in _SHARED}
        if wanted[_BEHAVIOR] == enabled:
            wanted[_BEHAVIOR] = "when-queue-enabled"
        changed = replace(
            former,
            name_filter=values[name_filter],
            exclusive=values["accessType"] == "exclusive",
            permission=PERMISSIONS[values["permission"]],
            settings=change_settings(former.settings, wanted),
        )
        put_setup(vpn, changed)
        return changed

    def defaults(world: World) -> dict[str, Any]:
        return default_values(world.vpn.default_settings(is_topic_endpoint))

    return Resource(
        name=name,
        key=key,
        noun=noun,
        members=lambda world, vpn: members(vpn),
        show=show,
        attributes=attributes,
        defaults=defaults,
        put=put,
        delete=lambda world, vpn, template: drop_setup(vpn, template),
    )


QUEUE_TEMPLATES: Final = _resource(
    "queueTemplates",
    "queueTemplateName",
    "queueNameFilter",
    "queue template",
    QueueTemplate,
    lambda vpn: vpn.queue_templates,
    {"durabilityOverride": Attribute(default="none", choices=("none", "non-durable"), fixed=True)},
    "when-queue-enabled",
)
TOPIC_ENDPOINT_TEMPLATES: Final = _resource(
    "topicEndpointTemplates",
    "topicEndpointTemplateName",
    "topicEndpointNameFilter",
    "topic endpoint template",
    TopicEndpointTemplate,
    lambda vpn: vpn.endpoint_templates,
    {
        _BEHAVIOR: Attribute(default="never", choices=("always", "when-topic-endpoint-enabled", "never")),
        "maxBindCount": replace(ATTRIBUTES["maxBindCount"], default=1),
    },
    "when-topic-endpoint-enabled",
)
