"""A way to the broker that takes time: a proxy that hands on every byte some milliseconds later (``python -m``).

It holds nothing back but by time: what is under way may be as much as a fast line of that length carries.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

from tests.bench.programs import end_by_input

__all__ = ["Delay"]

_CHUNK: Final = 1 << 18
_UNDER_WAY: Final = 1_024  # chunks


class Delay:
    """The proxy in a process of its own, as a context manager.

    Args:
        url: Where it leads, ``tcp://host:port``.
        round_trip_ms: What it adds to a round trip.
    """

    def __init__(self, url: str, round_trip_ms: float) -> None:
        host, _, port = url.removeprefix("tcp://").partition(":")
        self._command = [sys.executable, "-m", "tests.bench.delay", host, port, str(round_trip_ms / 2000)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port = self._process.stdout.readline().strip() if self._process.stdout else ""
        self.url = f"tcp://127.0.0.1:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_by_input(self._process)


async def _serve(host: str, port: int, seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, port)
        await asyncio.gather(_carry(reader, far_writer, seconds), _carry(far_reader, writer, seconds))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_CHUNK)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Hand on what one side says to the other, each piece so many seconds later."""
    now = asyncio.get_running_loop().time
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)

    async def take() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(_CHUNK)
            except ConnectionError:
                data = b""
            await under_way.put((now() + seconds, data))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - now())
            if not data:
                return
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the side that is spoken to has gone, and says so itself
    finally:
        taking.cancel()
        writer.close()


if __name__ == "__main__":
    try:
        asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    except KeyboardInterrupt:
        sys.exit(130)
