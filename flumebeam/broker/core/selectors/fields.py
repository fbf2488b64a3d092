"""What a selector's names stand for in a message.

As the vendor documents it, header fields have their names in JMS and short ones of the protocol (``ci`` for the
correlation id); all other names are user properties. What is not there, or holds bytes, is NULL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from flumebeam.errors import ProtocolError
from flumebeam.smf.params import ParameterCode, walk_header
from flumebeam.smf.sdt import Properties, decode_properties

if TYPE_CHECKING:
    from flumebeam.broker.core.spool import SpooledMessage

__all__ = ["Fields", "Getter", "Value", "getter"]

Value: TypeAlias = bool | int | float | str | None
_PERSISTENT: Final = 1
_QUEUE_PREFIX: Final = "#P2P/QUE/"
_SHORT: Final = frozenset(("ci", "mi", "mt", "rt", "ts", "si", "sn", "ex", "ct", "ce"))
_JMS: Final = {
    "JMSCorrelationID": "ci",
    "JMSExpiration": "ex",
    "JMSMessageID": "mi",
    "JMSReplyTo": "rt",
    "JMSTimestamp": "ts",
    "JMSType": "mt",
}
_NOTHING: Final = Properties()


class Fields:
    """One message as a selector sees it. Its properties are read when one is asked for.

    Args:
        message: The message.
    """

    __slots__ = ("_message", "_properties")

    def __init__(self, message: SpooledMessage) -> None:
        self._message = message
        self._properties: Properties | None = None

    @property
    def properties(self) -> Properties:
        """Its properties; none if they cannot be read, because brokers pass on what they cannot read."""
        if self._properties is None:
            try:
                self._properties = decode_properties(self._message.summary, self._message.body)
            except ProtocolError:
                self._properties = _NOTHING
        return self._properties

    def header(self, name: str) -> Value:
        """Return a header field by its short name."""
        value = self.properties.headers.get(name)
        return None if isinstance(value, bytes) else value

    def user(self, name: str) -> Value:
        """Return a user property."""
        value = self.properties.user.get(name)
        return None if isinstance(value, bytes) else value

    @property
    def priority(self) -> int:
        """Its priority, 0 to 255."""
        return self._message.template.priority

    @property
    def destination(self) -> str:
        """The topic or the queue that it was published to."""
        return self._message.template.topic.removeprefix(_QUEUE_PREFIX)

    @property
    def delivery_mode(self) -> str:
        """``PERSISTENT`` or ``NON_PERSISTENT``."""
        head = self._message.template.head()
        modes = [
            head[start:end]
            for code, lightweight, _, start, end in walk_header(head)
            if code == ParameterCode.DELIVERY_MODE and not lightweight
        ]
        return "PERSISTENT" if modes == [bytes((_PERSISTENT,))] else "NON_PERSISTENT"


Getter: TypeAlias = Callable[[Fields], Value]


def getter(name: str) -> Getter:
    """Return what finds the value of a name in a message."""
    if name == "JMSPriority":
        return lambda fields: fields.priority
    if name == "JMSDestination":
        return lambda fields: fields.destination
    if name == "JMSDeliveryMode":
        return lambda fields: fields.delivery_mode
    short = _JMS.get(name, name)
    if short in _SHORT:
        return lambda fields: fields.header(short)
    return lambda fields: fields.user(name)
