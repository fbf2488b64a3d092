"""The peers of the pipelines: plain loops without Beam, each a program (``python -m tests.bench.loops LANE SIDE``).

``channel`` puts and takes over our own channel and receiver, in batches, and drops what it takes. ``files`` does all
that the pipelines do: it writes files, exactly once. ``vendor`` is what one writes with the vendor's client alone, a
call per message. All lanes publish the same bodies with the same headers.
"""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
from solace.messaging.config.solace_properties import (
    authentication_properties,
    message_properties,
    service_properties,
    transport_layer_properties,
)
from solace.messaging.messaging_service import MessagingService
from solace.messaging.resources.queue import Queue
from solace.messaging.resources.topic import Topic

from flumebeam.batch import EventBatch
from flumebeam.channel.publishing import Publisher
from flumebeam.channel.solace import SolaceChannel
from flumebeam.deliveries import Durable
from flumebeam.event import BASENAME_HEADER, HOST_HEADER, SEVERITY_HEADER
from flumebeam.garbage import collecting_seldom
from flumebeam.interceptors import HostInterceptor, SeverityInterceptor
from flumebeam.interceptors.base import Chain
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.flows import FlowOptions
from flumebeam.solace.packing import Packing
from flumebeam.solace.session import connect
from flumebeam.sources.files import FileReceiver
from flumebeam.sources.options import FileSourceOptions
from tests.bench.file_loop import drain_to_files
from tests.bench.workload import severity_of

__all__ = ["main"]

_TRANSACTION: Final = 256
"""The broker's limit unless it was raised, and what is committed at once where nothing else is said."""
_READ_EVENTS: Final = 5_000
_PACKED_READ_EVENTS: Final = 20_000
_WAIT_SECONDS: Final = 30.0


def _channel_put(options: argparse.Namespace) -> None:
    files = FileReceiver(FileSourceOptions(path=options.input, tracker_dir=options.state))
    chain = Chain((HostInterceptor(), SeverityInterceptor()))
    size = options.transaction or _TRANSACTION
    with SolaceChannel(SolaceOptions(host=options.host), max_transaction_messages=size) as channel:
        while len(batch := files.receive(_READ_EVENTS, 0.0)):
            events = chain(batch)
            for begin in range(0, len(events), size):
                with channel.transaction() as transaction:
                    transaction.put(events.slice(begin, size), options.topic)
                    outcome = transaction.commit()
                if not outcome.committed:
                    raise RuntimeError(f"A transaction ended as {outcome.kind.value}: {outcome.cause}")
            files.acknowledge(_ids(batch))
    files.close()


def _packed_put(options: argparse.Namespace) -> None:
    files = FileReceiver(FileSourceOptions(path=options.input, tracker_dir=options.state))
    chain = Chain((HostInterceptor(), SeverityInterceptor()))
    with SolaceChannel(SolaceOptions(host=options.host), max_transaction_messages=_TRANSACTION) as channel:
        publisher = Publisher(channel, _TRANSACTION, _WAIT_SECONDS, packing=Packing())
        while len(batch := files.receive(_PACKED_READ_EVENTS, 0.0)):
            for one in (*publisher.add(chain(batch), options.topic), *publisher.flush()):
                if not isinstance(one, Durable):
                    raise RuntimeError(f"An event was refused: {one.cause}")
                files.acknowledge(one.ids)
    files.close()


def _channel_take(options: argparse.Namespace) -> None:
    taken = 0
    with connect(SolaceOptions(host=options.host)) as connection:
        receiver = connection.receiver(options.queue, flow=FlowOptions(transaction_messages=options.transaction))
        while taken < options.events:
            waiting: list[pa.FixedSizeBinaryArray] = []
            room = min(options.transaction or _READ_EVENTS, options.events - taken)
            while room and not (waiting and not options.transaction):
                batch = receiver.receive(room, _WAIT_SECONDS)
                if not len(batch):
                    raise RuntimeError(f"Nothing came for {_WAIT_SECONDS:.0f} s after {taken} events.")
                waiting.append(_ids(batch))
                room -= len(batch)
                taken += len(batch)
            receiver.acknowledge(pa.concat_arrays(waiting))
        receiver.close()


def _ids(batch: EventBatch) -> pa.FixedSizeBinaryArray:
    if batch.provenance is None:
        raise RuntimeError("A receiver gave events without ids.")
    return batch.provenance.ids


def _vendor_service(host: str) -> MessagingService:
    logging.getLogger("solace").setLevel(logging.CRITICAL)
    return (
        MessagingService.builder()
        .from_properties(
            {
                transport_layer_properties.HOST: host,
                service_properties.VPN_NAME: "default",
                service_properties.GENERATE_SEND_TIMESTAMPS: True,
                authentication_properties.SCHEME_BASIC_USER_NAME: "default",
                authentication_properties.SCHEME_BASIC_PASSWORD: "",
            }
        )
        .build()
        .connect()
    )


def _vendor_put(options: argparse.Namespace) -> None:
    service = _vendor_service(options.host)
    session = service.create_transactional_service_builder().build()
    session.connect()
    publisher = session.create_transactional_message_publisher_builder().build().start()
    topic = Topic.of(options.topic)
    builder = service.message_builder()
    for number, (body, headers) in enumerate(_with_headers(Path(options.input)), start=1):
        publisher.publish(builder.build(bytearray(body), headers), topic)
        if number % _TRANSACTION == 0:
            session.commit()
    session.commit()
    session.disconnect()
    service.disconnect()


def _with_headers(path: Path) -> Iterator[tuple[bytes, dict[str, str]]]:
    """Yield the lines of a file with the headers that the ingest gives them."""
    host, offset = socket.gethostname(), 0
    with path.open("rb") as lines:
        for text in lines:
            offset += len(text)
            yield (
                text[:-1],
                {
                    BASENAME_HEADER: path.name,
                    HOST_HEADER: host,
                    SEVERITY_HEADER: severity_of(text),
                    message_properties.APPLICATION_MESSAGE_ID: f"{0:016x}-{offset:016x}",
                },
            )


def _vendor_take(options: argparse.Namespace) -> None:
    service = _vendor_service(options.host)
    builder = service.create_persistent_message_receiver_builder().with_message_client_acknowledgement()
    receiver = builder.build(Queue.durable_exclusive_queue(options.queue))
    receiver.start()
    for taken in range(options.events):
        message = receiver.receive_message(round(_WAIT_SECONDS * 1000))
        if message is None:
            raise RuntimeError(f"Nothing came for {_WAIT_SECONDS:.0f} s after {taken} events.")
        # What a program that wants the event reads: body, headers and id.
        message.get_payload_as_bytes()
        message.get_properties()
        message.get_application_message_id()
        receiver.ack(message)
    receiver.terminate()
    service.disconnect()


def _files_put(options: argparse.Namespace) -> None:
    (_packed_put if options.packed else _channel_put)(options)


def _files_take(options: argparse.Namespace) -> None:
    drain_to_files(
        options.host,
        options.queue,
        Path(options.target),
        options.events,
        transaction=options.transaction,
        packed=options.packed,
    )


_LOOPS: Final = {
    ("files", "put"): _files_put,
    ("files", "take"): _files_take,
    ("channel", "put"): _channel_put,
    ("channel", "take"): _channel_take,
    ("vendor", "put"): _vendor_put,
    ("vendor", "take"): _vendor_take,
}


def main() -> None:
    """Run one loop to its end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.loops")
    parser.add_argument("lane", choices=["channel", "files", "vendor"])
    parser.add_argument("side", choices=["put", "take"])
    parser.add_argument("--host", required=True)
    parser.add_argument("--topic")
    parser.add_argument("--queue")
    parser.add_argument("--input")
    parser.add_argument("--state")
    parser.add_argument("--target")
    parser.add_argument("--packed", action="store_true", help="many events in a message")
    parser.add_argument("--events", type=int)
    parser.add_argument(
        "--transaction", type=int, default=0, help="messages of a transaction; 0 acknowledges by id, and puts 256"
    )
    options = parser.parse_args()
    # What the programs are given beside Beam is given to the loops as well.
    with collecting_seldom():
        _LOOPS[options.lane, options.side](options)


if __name__ == "__main__":
    main()
