"""Publishing outside of transactions: persistent messages with a receipt each, or direct ones without any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pyarrow as pa
from solace.messaging.errors.pubsubplus_client_error import PubSubPlusClientError
from solace.messaging.messaging_service import MessagingService
from solace.messaging.publisher.persistent_message_publisher import MessagePublishReceiptListener, PublishReceipt

from flumebeam.batch import EventBatch
from flumebeam.errors import ConnectionFailedError
from flumebeam.garbage import collect_often_enough
from flumebeam.solace._client import bounded, lost_error, operation_deadline, subcode, told_by
from flumebeam.solace._transacted import REFUSALS
from flumebeam.solace._wrapper_lane import outbound_messages
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import PLAIN_FIELDS, MessageFields
from flumebeam.solace.packing import Packing, outgoing_messages
from flumebeam.solace.ports import Refusal

__all__ = ["VendorPublisher"]

_CLOSE_SECONDS: Final = 5.0
_OVER_QUOTA: Final = "SPOOL_OVER_QUOTA"


class _Receipts(MessagePublishReceiptListener):  # type: ignore[misc]
    """Gathers receipts, which come in a thread of the client's."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._found: dict[int, BaseException | None] = {}
        self._missing: set[int] = set()  # of those that somebody waits for

    def on_publish_receipt(self, publish_receipt: PublishReceipt) -> None:
        problem = publish_receipt.exception
        if problem is None and not publish_receipt.is_persisted:
            problem = PubSubPlusClientError("The message was not persisted.")
        number = publish_receipt.user_context
        with self._changed:
            self._found[number] = problem
            if number in self._missing:
                self._missing.remove(number)
                if not self._missing:  # once for all: each time costs both threads more than the receipt itself
                    self._changed.notify_all()

    def await_all(self, numbers: range, seconds: float) -> dict[int, BaseException | None]:
        """Return the receipts of these messages, as far as they have come in time, and forget them."""
        with self._changed:
            self._missing = set(numbers).difference(self._found)
            self._changed.wait_for(lambda: not self._missing, seconds)
            return {number: self._found.pop(number) for number in numbers if number in self._found}


class VendorPublisher:
    """A :class:`~flumebeam.solace.ports.MessagePublisher` of ``solace-pubsubplus``.

    Args:
        service: A connected service.
        options: Where it leads.
        direct: Publish direct messages, which nobody confirms.
        on_close: Called once when it is closed.

    Raises:
        ConnectionFailedError: It cannot be opened.
    """

    def __init__(
        self,
        service: MessagingService,
        options: SolaceOptions,
        direct: bool,
        on_close: Callable[[VendorPublisher], None],
    ) -> None:
        self._service = service
        self._options = options
        self._direct = direct
        self._on_close = on_close
        self._closed = False
        self._sent = 0
        self._receipts = _Receipts()
        self._deadline = operation_deadline(options.reconnect)
        collect_often_enough()
        try:
            if direct:
                self._publisher: Any = service.create_direct_message_publisher_builder().build()
                self._publisher.start()
            else:
                self._publisher = service.create_persistent_message_publisher_builder().build()
                self._publisher.start()
                self._publisher.set_message_publish_receipt_listener(self._receipts)
        except PubSubPlusClientError as error:
            raise lost_error(options, "No publisher can be opened", error) from error

    def send(
        self,
        batch: EventBatch,
        topics: str | pa.StringArray,
        packing: Packing | None = None,
        fields: MessageFields = PLAIN_FIELDS,
        *,
        on_sent: Callable[[], object] = bool,
    ) -> list[Refusal | None]:
        """Publish a batch and wait for what the broker says; see the protocol."""
        first = self._sent + 1  # the client takes a context of 0 for none
        try:
            for outgoing in outgoing_messages(batch, topics, packing, fields):
                for message, target in outbound_messages(self._service, outgoing):
                    self._sent += 1
                    if self._direct:
                        self._publisher.publish(message, target)
                    else:
                        self._publisher.publish(message, target, user_context=self._sent)
        except PubSubPlusClientError as error:
            raise lost_error(self._options, "Publishing", error) from error
        on_sent()
        numbers = range(first, self._sent + 1)
        if self._direct:
            return [None] * len(numbers)
        found = self._receipts.await_all(numbers, self._deadline)
        return [self._refusal(found, number) for number in numbers]

    def _refusal(self, found: dict[int, BaseException | None], number: int) -> Refusal | None:
        if number not in found:
            raise ConnectionFailedError(f"No receipt came from the broker at {self._options.host} in time.")
        problem = found[number]
        if problem is None:
            return None
        cause = subcode(problem)
        told = REFUSALS.get(cause)
        if told is None and not self._service.is_connected:
            raise lost_error(self._options, "Publishing", problem)
        return Refusal(f"the broker refused the message: {told or told_by(problem)}", over_quota=cause == _OVER_QUOTA)

    def close(self) -> None:
        """Release it. Idempotent, never hangs."""
        if self._closed:
            return
        self._closed = True
        bounded(lambda: self._publisher.terminate(0), _CLOSE_SECONDS)
        self._on_close(self)
