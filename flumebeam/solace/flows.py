"""How a consumer flow is bound: what it gets of a queue, and whether it takes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final, Self

from flumebeam.errors import ConfigurationError

__all__ = ["FlowOptions", "GiveBack", "ReplayStart"]

_MAX_SELECTOR_CHARS: Final = 2000  # limit of the broker
_MESSAGE_ID: Final = re.compile(r"rmid1:[0-9a-f]{5}-[0-9a-f]{11}-[0-9a-f]{8}-[0-9a-f]{8}")


class GiveBack(Enum):
    """What the broker is told of deliveries whose bundle failed."""

    RELEASED = "released"
    """Nothing: they go back when the flow is unbound. Every broker can do it."""
    FAILED = "failed"
    """Each failed: the broker delivers it again, or gives it up if that was tried as often as the queue allows."""
    REJECTED = "rejected"
    """Each of them is not wanted: the broker moves what is eligible to the DMQ, and DELETES the rest."""


@dataclass(frozen=True, slots=True)
class ReplayStart:
    """Where a replay of the broker's replay log begins.

    Attributes:
        location: As the vendor's client has it: ``BEGINNING``, ``DATE:`` and seconds since 1970, or the replication
            group message id behind which it begins.
    """

    location: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the start that a text names: ``beginning``, a time as ISO 8601, or ``rmid1:...``.

        A time without a zone is UTC.

        Raises:
            ConfigurationError: It is none of these.
        """
        if text.lower() == "beginning":
            return cls("BEGINNING")
        if _MESSAGE_ID.fullmatch(text):
            return cls(text)
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            raise ConfigurationError(
                f"A replay starts at 'beginning', a time like 2026-01-31T12:00:00Z, or behind a message id like "
                f"rmid1:...; {text!r} is none of them."
            ) from None
        return cls(f"DATE:{int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """How a flow is bound to its queue.

    Attributes:
        selector: The broker hands over only messages that it matches, in the language of JMS; empty for all.
        browse: Look and take nothing: messages stay on the queue, acknowledgements mean nothing.
        replay: Have the broker put messages of its replay log into the queue again, from there on.
        give_back: How messages are given back that were handed out and not acknowledged. All but ``RELEASED`` needs a
            broker of version 10.2.1 or later, which refuses the bind otherwise.
        shared: Refuse a flow that the broker lets stand by: others are to share the queue with it.
        transaction_messages: Take in transactions of up to so many messages, each of which acknowledges all of its
            messages at once; 0 acknowledges every message by id.

    Raises:
        ConfigurationError: A combination that cannot work.
    """

    selector: str = ""
    browse: bool = False
    replay: ReplayStart | None = None
    give_back: GiveBack = GiveBack.RELEASED
    shared: bool = False
    transaction_messages: int = 0

    def __post_init__(self) -> None:
        if len(self.selector) > _MAX_SELECTOR_CHARS:
            raise ConfigurationError(f"A selector has at most {_MAX_SELECTOR_CHARS} characters.")
        if self.browse and self.replay is not None:
            raise ConfigurationError("A flow that browses starts no replay: leave out one of them.")
        if self.browse and self.shared:
            raise ConfigurationError("Flows that browse see everything, each of them: leave out flows, or browse.")
        if self.browse and self.give_back is not GiveBack.RELEASED:
            raise ConfigurationError("A flow that browses takes nothing and gives nothing back: leave out one of them.")

        if self.transaction_messages:
            self._check_transactions()

    def _check_transactions(self) -> None:
        if self.transaction_messages < 0:
            raise ConfigurationError(f"A transaction holds at least one message, got {self.transaction_messages}.")
        if self.browse or self.replay is not None or self.give_back is not GiveBack.RELEASED:
            raise ConfigurationError(
                "What is taken in transactions is neither browsed nor replayed, and a bundle that failed is rolled "
                "back as it is: leave out transaction_messages, or browse, replay_from and failed_bundles."
            )

    def properties(self) -> dict[str, str]:
        """Return the native properties of the flow that differ from those of a plain one."""
        changes = {}
        if self.selector:
            changes["FLOW_SELECTOR"] = self.selector
        if self.browse:
            changes |= {"FLOW_BROWSER": "1", "FLOW_ACTIVE_FLOW_IND": "0"}
        if self.replay is not None:
            changes["FLOW_REPLAY_START_LOCATION"] = self.replay.location
        if self.give_back is not GiveBack.RELEASED:
            changes[f"FLOW_REQUIRED_OUTCOME_{self.give_back.name}"] = "1"
        return changes
