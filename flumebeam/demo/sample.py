"""A realistic log, made line by line from a seed: what a shop's machines write on an ordinary day.

The same seed gives the same bytes everywhere. Among the ordinary lines are the odd ones that real logs have: empty
lines, bytes that are no UTF-8, a carriage return before the newline, a stack trace, a very long line, and a last line
without an end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

__all__ = ["sample_lines", "write_sample"]

_START: Final = datetime(2026, 3, 2, 8, 0, 0, tzinfo=UTC)
_PATHS: Final = (
    "/",
    "/cart",
    "/cart/items",
    "/checkout",
    "/search?q=lamp",
    "/api/v2/orders",
    "/static/app.js",
    "/login",
)
_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64)",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_2)",
    "curl/8.9.1",
    "okhttp/4.12",
)
_LEVELS: Final = ("INFO",) * 78 + ("DEBUG",) * 9 + ("WARN",) * 9 + ("ERROR",) * 3 + ("FATAL",)
_CLASSES: Final = ("OrderService", "PaymentGateway", "StockKeeper", "SessionStore", "MailQueue", "PriceCache")
_MESSAGES: Final = {
    "DEBUG": "cache lookup key=cust:{n} hit={hit}",
    "INFO": "order {n} accepted, {items} items, total {total} EUR, customer {cust}",
    "WARN": "slow call to inventory took {ms} ms for order {n}, retry {items} of 5",
    "ERROR": "payment {n} refused by acquirer after {ms} ms: code=51 customer={cust}",
    "FATAL": "connection pool exhausted, {items} waiters, oldest {ms} ms",
}
_ODD: Final = {
    97: b"",
    411: b"2026-03-02 08:00:00,000 WARN [worker-1] shop.Import - name \xe4\xf6\xfc\xff is not UTF-8",
    702: b"2026-03-02 08:00:00,000 INFO [worker-1] shop.Import - line from a Windows host\r",
    860: b"java.net.SocketTimeoutException: Read timed out",
    861: b"\tat shop.net.Acquirer.call(Acquirer.java:118)",
    862: b"\tat shop.pay.PaymentGateway.charge(PaymentGateway.java:74)",
}


def _application(rng: random.Random, when: datetime) -> str:
    level = rng.choice(_LEVELS)
    text = _MESSAGES[level].format(
        n=rng.randrange(10**6, 10**7),
        hit=rng.choice(("true", "false")),
        items=rng.randint(1, 9),
        total=f"{rng.uniform(3, 900):.2f}",
        cust=f"c{rng.randrange(10**5):05d}",
        ms=rng.randint(300, 9000),
    )
    name, thread = rng.choice(_CLASSES), rng.randint(1, 64)
    return f"{when:%Y-%m-%d %H:%M:%S},{when.microsecond // 1000:03d} {level} [worker-{thread}] shop.{name} - {text}"


def _access(rng: random.Random, when: datetime) -> str:
    address = f"10.{rng.randint(0, 3)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    status = rng.choice((200,) * 30 + (301, 304, 304, 404, 404, 500, 503))
    return (
        f'{address} - - [{when:%d/%b/%Y:%H:%M:%S +0000}] "GET {rng.choice(_PATHS)} HTTP/1.1" {status} '
        f'{rng.randint(120, 90_000)} "-" "{rng.choice(_AGENTS)}"'
    )


def _login(rng: random.Random, when: datetime) -> str:
    address, port = f"192.0.2.{rng.randint(1, 254)}", rng.randint(1024, 65535)
    user = rng.choice(("root", "admin", "deploy", "oracle", "backup"))
    outcome = rng.choice(
        (f"Failed password for {user}", f"Failed password for invalid user {user}", "Accepted publickey for deploy")
    )
    process = f"gate-{rng.randint(1, 3)} sshd[{rng.randint(900, 32000)}]"
    return f"{when:%b %d %H:%M:%S} {process}: {outcome} from {address} port {port} ssh2"


_KINDS: Final[tuple[Callable[[random.Random, datetime], str], ...]] = (_application,) * 5 + (_access,) * 4 + (_login,)


def _odd(number: int) -> bytes | None:
    """Return the odd line that stands at this place of every sample, if one does."""
    if number % 5003 == 5002:
        return b"b" * 100_000 + b" a dump of one long record"
    return _ODD.get(number % 1009)


def sample_lines(lines: int, seed: int = 1) -> Iterator[bytes]:
    """Yield lines of the log, without their newlines.

    Args:
        lines: How many.
        seed: Another seed, another day.
    """
    rng = random.Random(seed)
    when = _START
    for number in range(lines):
        when += timedelta(milliseconds=rng.randint(0, 40))
        odd = _odd(number)
        yield rng.choice(_KINDS)(rng, when).encode() if odd is None else odd


def write_sample(path: Path, lines: int, seed: int = 1) -> None:
    """Write the log; its last line has no end.

    Args:
        path: A file that does not exist yet.
        lines: How many.
        seed: Another seed, another day.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        for number, line in enumerate(sample_lines(lines, seed)):
            out.write(b"\n" + line if number else line)
