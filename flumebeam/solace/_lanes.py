"""Which way messages take between us and the vendor's client: its Python layer, or the C library underneath it.

Three levels, the same to everything above them:

========== ============================================================== ========================
lane       what a batch is                                                needs
========== ============================================================== ========================
plain      calls of the Python layer, each hopping to the session's thread documented calls only
wrapper    the same calls as one job on that thread                       one private method
native     C functions, as one job on that thread                         documented C functions
========== ============================================================== ========================

The native lane checks itself before it is used: the client's version is one that was tested, the library has the
functions, and a message that is filled gives back what was put into it.
"""

from __future__ import annotations

import functools
import logging
from ctypes import byref, c_void_p
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, Protocol

from flumebeam.errors import ConfigurationError
from flumebeam.solace._placed_frames import TakenMessages
from flumebeam.solace._reader import MessageReader
from flumebeam.solace._wrapper_lane import WrapperLane
from flumebeam.solace.outgoing import OutgoingEvents

__all__ = ["Lane", "choose_lane", "native_problem", "open_lane"]

_TESTED: Final = ("1.11.",)
"""Beginnings of the versions of solace-pubsubplus that the native lane was tested with."""
_logger: Final = logging.getLogger(__name__)


class Lane(Protocol):
    """Publishes and takes within a transacted session. Everything runs in the session's thread."""

    def publish(self, outgoing: OutgoingEvents) -> None:
        """Publish all events, in order; stop at the first one that fails.

        Raises:
            PubSubPlusClientError: The client cannot send; what was sent is in the transaction.
        """
        ...

    def receive(self, max_messages: int, timeout_ms: int, reader: MessageReader) -> TakenMessages:
        """Take up to ``max_messages`` messages; wait at most ``timeout_ms`` milliseconds for the first one.

        Returns:
            The messages, those too that have no replication group message id.

        Raises:
            PubSubPlusClientError: The client cannot receive.
        """
        ...

    def close(self) -> None:
        """Release what the lane holds of the library."""
        ...


def choose_lane(wanted: str) -> str:
    """Return ``native``, ``wrapper`` or ``plain``.

    Args:
        wanted: One of these, or ``auto``: native if it works here, else wrapper, and the log says why.

    Raises:
        ConfigurationError: ``native`` is wanted and does not work here.
    """
    if wanted not in ("auto", "native"):
        return wanted
    problem = native_problem()
    if problem and wanted == "native":
        raise ConfigurationError(f"The native lane cannot be used: {problem}. Leave the lane at auto.")
    lane = "wrapper" if problem else "native"
    _tell(lane, problem)
    return lane


def open_lane(lane: str, *, service: Any, session: Any, publisher: Any, flow: Any) -> Lane:
    """Return a lane over what the vendor's layer has opened.

    Args:
        lane: What :func:`choose_lane` returned.
        service: The messaging service, connected.
        session: Its transacted session.
        publisher: The session's publisher.
        flow: The session's receiver, or ``None``.
    """
    if lane == "native":
        from flumebeam.solace._native_lane import NativeLane  # only here: its library may lack a function

        return NativeLane(session, flow)
    return WrapperLane(service, publisher, flow)


@functools.cache
def native_problem() -> str:
    """Return why the native lane cannot be used in this process; empty if it can."""
    try:
        installed = version("solace-pubsubplus")
    except PackageNotFoundError:
        return "solace-pubsubplus is not installed as a package"
    if not installed.startswith(_TESTED):
        return f"it was not tested with solace-pubsubplus {installed}"
    try:
        return _try_out()
    except AttributeError as error:
        return f"the client's library lacks something: {error}"


def _try_out() -> str:
    """Fill a message as the lane does, and read it back."""
    from flumebeam.solace import _native

    box, container = c_void_p(), c_void_p()
    body = b"flumebeam\0checks\xff"
    name, value = "flümebeam", "\U0001f600 works"
    codes = [_native.allocate(byref(box))]
    try:
        codes.append(_native.set_body(box.value, body, len(body)))
        codes.append(_native.create_properties(box.value, byref(container), 16))
        codes.append(_native.add_string(container.value, value.encode(), name.encode()))
        codes.append(_native.close_container(byref(container)))
        if any(codes):
            return f"a message could not be filled (codes {codes})"
        if MessageReader().content(box.value or 0) != (body, {name: value}):
            return "a message did not give back what was put into it"
    finally:
        _native.free(byref(box))
    return ""


@functools.cache
def _tell(lane: str, problem: str) -> None:
    if problem:
        _logger.warning("Messages take the slower lane through the client's Python layer: %s.", problem)
    else:
        _logger.info("Messages take the native lane of the client's library.")
