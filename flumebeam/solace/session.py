"""Connecting to a broker with the vendor's client.

Do not fork a process that has a connection: in the child every inherited handle hangs (measured with
solace-pubsubplus 1.11). Fork first, or spawn.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from ctypes import POINTER, c_char_p, c_int, cast
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import solace
from solace.messaging.core._core_api_utility import prepare_array
from solace.messaging.core._solace_transport import _SolaceTransportEvent
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.messaging_service import MessagingService
from solace.messaging.receiver._inbound_message_utility import end_point_provision, topic_endpoint_subscribe
from solace.messaging.utils._solace_utilities import get_last_error_info

from flumebeam.errors import ConfigurationError, ConnectionFailedError, FlumebeamError
from flumebeam.solace._client import (
    bounded,
    build_service,
    connect_error,
    lost_error,
    operation_deadline,
    queue_error,
)
from flumebeam.solace._plain_publisher import VendorPublisher
from flumebeam.solace._queue_receiver import QueueReceiver
from flumebeam.solace._receiver import FlowReceiver
from flumebeam.solace._tokens import TokenKeeper, tokens_of
from flumebeam.solace._transacted import VendorSession
from flumebeam.solace._transaction_receiver import TransactionReceiver
from flumebeam.solace.auth import OAuthAuthentication
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions

__all__ = ["VendorConnection", "connect", "ensure_queue"]

_CLOSE_SECONDS: Final = 10.0
_NOTICE_SECONDS: Final = 1.0
_CONFIRMED_IF_THERE: Final = 0x01 | 0x02
"""Flags of the C library: wait for the broker's answer, and take no queue for a success."""
_ACCESS_TYPES: Final = {"exclusive": "1", "non-exclusive": "0"}
_Part = TypeVar("_Part", VendorSession, FlowReceiver, TransactionReceiver, VendorPublisher)
_AnyPart: TypeAlias = VendorSession | QueueReceiver | VendorPublisher


def connect(options: SolaceOptions) -> VendorConnection:
    """Connect to a broker.

    Raises:
        LoginRefusedError: The broker said no: password, VPN, client name.
        ConnectionFailedError: No broker answers within the policy's connect timeout.
        ConfigurationError: A secret, a certificate or the trust store cannot be found.
    """
    own = options.authentication
    tokens = tokens_of(own) if isinstance(own, OAuthAuthentication) else None
    try:
        service = build_service(options, tokens)
        service.connect()
    except PubSubPlusClientError as error:
        raise connect_error(options, error) from error
    keeper = None
    if tokens is not None and isinstance(own, OAuthAuthentication):

        def update(name: str, token: str) -> None:
            with contextlib.suppress(PubSubPlusClientError):  # a service that is gone needs no token
                service.update_property(name, token)

        keeper = TokenKeeper(own, tokens, update)
    return VendorConnection(service, options, keeper)


class VendorConnection:
    """A :class:`~flumebeam.solace.ports.Connection` of ``solace-pubsubplus``; made by :func:`connect`.

    Safe for threads; each session and receiver is used by one thread at a time.
    """

    def __init__(self, service: MessagingService, options: SolaceOptions, keeper: TokenKeeper | None = None) -> None:
        self._service = service
        self._options = options
        self._keeper = keeper
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)  # lost, restored or ended
        self._losses = 0
        self._away = self._lost = self._closed = False
        self._settled = True  # until something stands against it
        self._disconnected = False
        self._parts: set[_AnyPart] = set()
        # The public listeners are called by another thread, some time later. These run in the thread that sees the
        # connection break, before anything can be sent or received over a new one.
        events = service.session
        events.register_transport_event_handler(_SolaceTransportEvent.TRANSPORT_RECONNECTING, self._on_loss)
        events.register_transport_event_handler(_SolaceTransportEvent.TRANSPORT_RECONNECTED, self._on_return)
        events.register_transport_event_handler(_SolaceTransportEvent.TRANSPORT_DOWN, self._on_down)
        _open_connections.add(self)

    @property
    def options(self) -> SolaceOptions:
        """The options it was made with."""
        return self._options

    @property
    def alive(self) -> bool:
        """Whether the connection stands, or is being restored."""
        return not (self._closed or self._lost) and bool(self._service.is_connected)

    @property
    def away(self) -> bool:
        """Whether the connection is lost and being restored: that nothing comes means nothing meanwhile."""
        return self._away

    def transacted_session(self, *, queue: str | None = None, selector: str = "") -> VendorSession:
        """Open a transacted session, with a consumer flow on ``queue`` if one is named, for what a selector matches.

        Raises:
            QueueError: The queue is unknown, or permission is missing.
            ConnectionFailedError: The broker does not answer.
        """
        self._must_be_usable()
        return self._opened(
            lambda: VendorSession(self._service, self._options, queue, selector, lambda: self._losses, self._forget)
        )

    def receiver(
        self, queue: str, *, before_bind: Callable[[str], None] | None = None, flow: FlowOptions | None = None
    ) -> FlowReceiver | TransactionReceiver:
        """Bind a consumer flow whose messages are acknowledged by id, or in transactions if it is to be bound so.

        Args:
            queue: Name of a durable queue.
            before_bind: Called with the new receiver's id before the flow is bound; again, with another id, if the
                connection is lost before it is.
            flow: How it is bound; by default it takes everything.

        Raises:
            QueueError: The queue is unknown, or permission is missing.
            ConnectionFailedError: The broker does not answer.
        """
        self._must_be_usable()
        how = flow or FlowOptions()
        if how.transaction_messages:
            return self._opened(
                lambda: TransactionReceiver(
                    partial(self._open_session, queue, how.selector),
                    self._options,
                    queue,
                    before_bind,
                    how,
                    lambda: self._away,
                    self._forget,
                )
            )
        return self._opened(lambda: FlowReceiver(self._service, self._options, queue, before_bind, how, self._forget))

    def publisher(self, *, direct: bool = False) -> VendorPublisher:
        """Open a publisher of persistent messages with receipts, or of direct ones without.

        Raises:
            ConnectionFailedError: It cannot be opened.
        """
        self._must_be_usable()
        return self._opened(lambda: VendorPublisher(self._service, self._options, direct, self._forget))

    def ensure_queue(self, name: str, *, access: str = "exclusive", subscriptions: Iterable[str] = ()) -> None:
        """Create a durable queue with topic subscriptions, or add the subscriptions that an existing one lacks.

        Args:
            name: Name of the queue.
            access: ``exclusive`` or ``non-exclusive``; an existing queue keeps the access it has.
            subscriptions: Topics, with wildcards if wanted.

        Raises:
            ConfigurationError: The access type is unknown.
            QueueError: The broker refused, for lack of permission for example.
            ConnectionFailedError: The broker does not answer.
        """
        if access not in _ACCESS_TYPES:
            raise ConfigurationError(f"The access of a queue is exclusive or non-exclusive, not {access!r}.")
        self._must_be_usable()
        identity = {"ENDPOINT_ID": "2", "ENDPOINT_NAME": name, "ENDPOINT_DURABLE": "1"}
        properties = {**identity, "ENDPOINT_ACCESSTYPE": _ACCESS_TYPES[access], "ENDPOINT_PERMISSION": "d"}
        session = self._service.session_pointer
        self._must_be_ok(name, end_point_provision(prepare_array(properties), session, ignore_already_provisioned=True))
        for topic in subscriptions:
            self._must_be_ok(name, topic_endpoint_subscribe(prepare_array(identity), session, topic))

    def remove_queue(self, name: str) -> None:
        """Delete a durable queue with everything in it; nothing if there is none.

        Raises:
            QueueError: The broker refused, for lack of permission for example.
            ConnectionFailedError: The broker does not answer.
        """
        self._must_be_usable()
        properties = prepare_array({"ENDPOINT_ID": "2", "ENDPOINT_NAME": name, "ENDPOINT_DURABLE": "1"})
        deprovision = solace.CORE_LIB.solClient_session_endpointDeprovision
        code = deprovision(
            cast(properties, POINTER(c_char_p)), self._service.session_pointer, c_int(_CONFIRMED_IF_THERE), None
        )
        self._must_be_ok(name, code)

    def close(self) -> bool:
        """Close everything that was opened here. Idempotent, never hangs.

        Returns:
            Whether everything that its receivers had handed out was acknowledged, and the broker has got all of that.
            Acknowledgements go before the unbind of their flow. Disconnecting waits for the answer to each unbind, for
            20 s or until the connection breaks, which is reported first (measured with solace-pubsubplus 1.11). So it
            is known if the connection never broke and was ended by this call, in less time. False says nothing.
        """
        with self._changed:
            if self._closed:
                return self._disconnected and self._settled
            self._closed = True
            self._changed.notify_all()
            parts = tuple(self._parts)
        _open_connections.discard(self)
        if self._pid != os.getpid():
            return False  # a fork's child: the handles belong to the parent
        if self._keeper is not None:
            self._keeper.close()
        for part in parts:
            part.close()
        # Also frees whatever is still blocked in the library.
        self._settled = bounded(self._service.disconnect, _CLOSE_SECONDS) and self._settled
        return self._disconnected and self._settled

    def __enter__(self) -> VendorConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- within --------------------------------------------------------------------------------------------------------

    def _must_be_usable(self) -> None:
        if self._pid != os.getpid():
            raise ConnectionFailedError("This connection was opened before a fork: open one in the child process.")
        if not self.alive:
            raise lost_error(self._options, "The connection cannot be used")

    def _must_be_ok(self, queue: str, code: int) -> None:
        if code != 0:
            error = get_last_error_info(code, "flumebeam")
            raise queue_error(self._options, queue, error) from error

    def _opened(self, open_part: Callable[[], _Part]) -> _Part:
        """Open a part; again if the connection is lost meanwhile, since nothing has happened on the part yet.

        The client does not always say that it is connected again after it lost a part half open (seen with
        solace-pubsubplus 1.11): whether it is shows in the next attempt.
        """
        deadline = time.monotonic() + operation_deadline(self._options.reconnect)
        losses = -1 if self._away else self._losses
        while True:
            now = self._losses
            try:
                part = open_part()
            except FlumebeamError as error:
                if not self.alive:  # whatever the client calls it
                    raise lost_error(self._options, "The connection cannot be used") from error
                patient = isinstance(error, ConnectionFailedError) and time.monotonic() < deadline
                if not (patient and self._may_be_restored(losses)):
                    raise
            else:
                return self._kept(part, now)

    def _may_be_restored(self, losses: int) -> bool:
        """Whether the connection was lost since ``losses`` were counted, and lives; after a pause."""
        with self._changed:
            # The client may refuse an operation a moment before it says why.
            lost = self._changed.wait_for(lambda: self._losses != losses, _NOTICE_SECONDS)
            self._changed.wait_for(lambda: not self._away or self._lost or self._closed, _NOTICE_SECONDS)
            return lost and not (self._lost or self._closed)

    def _open_session(self, queue: str, selector: str, on_flow_event: Callable[[int], None]) -> VendorSession:
        """Open a session for a receiver, which closes it; that it can be opened proves that the connection is back."""
        losses = self._losses
        session = VendorSession(
            self._service, self._options, queue, selector, lambda: self._losses, lambda _: None, on_flow_event
        )
        with self._changed:
            self._away = self._away and self._losses != losses
        return session

    def _kept(self, part: _Part, losses: int) -> _Part:
        with self._changed:
            self._parts.add(part)
            self._away = self._away and self._losses != losses
            gone = self._lost or self._closed
        if gone:  # while it was being opened
            part.close()
            raise lost_error(self._options, "The connection cannot be used")
        return part

    def _forget(self, part: _AnyPart) -> None:
        with self._lock:
            self._parts.discard(part)
            if isinstance(part, QueueReceiver) and not part.settled:
                self._settled = False

    def _on_loss(self, _event: object) -> None:
        with self._changed:
            self._losses += 1
            self._away = True
            self._settled = False
            self._changed.notify_all()
        self._fence_receivers()

    def _on_return(self, _event: object) -> None:
        with self._changed:
            self._away = False
            self._changed.notify_all()
        self._fence_receivers()

    def _fence_receivers(self) -> None:
        with self._lock:
            parts = tuple(self._parts)
        for part in parts:
            if isinstance(part, QueueReceiver):
                part.fence()

    def _on_down(self, event: Any) -> None:
        with self._changed:
            self._changed.notify_all()
            self._losses += 1
            self._lost = True
            # Without a cause it is the end that close() has brought about.
            self._disconnected = self._disconnected or event.exception is None
            self._settled = self._settled and event.exception is None
            parts = tuple(self._parts)
        for part in parts:
            if isinstance(part, QueueReceiver):
                part.fail(lost_error(self._options, "Receiving ends"))


def ensure_queue(
    target: SolaceOptions | VendorConnection,
    name: str,
    *,
    access: str = "exclusive",
    subscriptions: Iterable[str] = (),
) -> None:
    """Create a durable queue with topic subscriptions if the broker lacks it; for first steps, demos and tests.

    Args:
        target: A connection, or options for one that is opened and closed here.
        name: Name of the queue.
        access: ``exclusive`` or ``non-exclusive``; an existing queue keeps the access it has.
        subscriptions: Topics, with wildcards if wanted.

    Raises:
        ConfigurationError: The access type is unknown.
        QueueError: The broker refused, for lack of permission for example.
        ConnectionFailedError: The broker does not answer.
    """
    if isinstance(target, VendorConnection):
        target.ensure_queue(name, access=access, subscriptions=subscriptions)
        return
    with connect(target) as connection:
        connection.ensure_queue(name, access=access, subscriptions=subscriptions)


_open_connections: weakref.WeakSet[VendorConnection] = weakref.WeakSet()


def _close_all() -> None:
    for connection in tuple(_open_connections):
        with contextlib.suppress(ConnectionFailedError):
            connection.close()


# The interpreter waits for the client's worker threads before it calls atexit functions, so a worker that is blocked in
# the library would keep the process for ever. This hook runs before that wait, as that of concurrent.futures does.
threading._register_atexit(_close_all)  # type: ignore[attr-defined]
