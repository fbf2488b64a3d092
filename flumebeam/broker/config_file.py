"""A broker's configuration as a TOML file: options, usernames, queues, faults.

.. code-block:: toml

    faults = ["lose-commit-response applied=true"]

    [broker]
    like = "standard"
    port = 55555
    data = "broker-data"

    [users]
    default = true               # any password
    writer = "a password"
    reader = { file = "reader-password.txt" }

    [vpns.test]                  # a further message VPN, with its usernames
    default = true

    [[queues]]
    name = "logs"
    access = "non-exclusive"
    subscriptions = ["app/>"]
    max-redeliveries = 3
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from flumebeam.broker.config import EDITIONS, BrokerConfig
from flumebeam.broker.core.queue_settings import QueueSettings
from flumebeam.broker.fault_texts import parse_fault
from flumebeam.broker.faults import Fault
from flumebeam.errors import ConfigurationError

__all__ = ["BrokerSetup", "read_setup"]

_TABLES: Final = ("broker", "faults", "queues", "users", "vpns")
_NOT_IN_A_FILE: Final = frozenset(("users", "more_vpns", "oauth_username"))
_OPTIONS: Final = {field.name: str(field.type) for field in fields(BrokerConfig) if field.name not in _NOT_IN_A_FILE}
_QUEUE_OPTIONS: Final = {
    "name": "str",
    "access": "str",
    "subscriptions": "list",
    "owner": "str",
    "permission": "str",
    "vpn": "str",
} | {field.name: str(field.type) for field in fields(QueueSettings)}
_TYPES: Final[dict[str, tuple[type, ...]]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
_TYPE_NAMES: Final = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSetup:
    """What a configuration file says.

    Attributes:
        options: Options of :class:`BrokerConfig`, those of an edition included.
        queues: Arguments of :meth:`DevelopmentBroker.create_queue`, one mapping per queue.
        faults: What is to go wrong, in order.
    """

    options: dict[str, Any]
    queues: tuple[dict[str, Any], ...]
    faults: tuple[Fault, ...]


def read_setup(file: Path) -> BrokerSetup:
    """Read a configuration file.

    Raises:
        ConfigurationError: It cannot be read, is no TOML, or has an option that does not exist or has another type; the
            text names the file, and the line where there is one.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The broker's configuration {file} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The broker's configuration {file} is no TOML: {error}.") from error
    reader = _Reader(file, text)
    for table in content:
        if table not in _TABLES:
            raise reader.mistake(table, f"there is nothing called {table!r}; write {', '.join(_TABLES)}")
    options = reader.options("broker", content.get("broker", {}), _OPTIONS | {"like": "str"})
    if "like" in options:
        edition = options.pop("like")
        if edition not in EDITIONS:
            raise reader.mistake("like", f"there is no edition {edition!r}; choose one of {', '.join(EDITIONS)}")
        options = EDITIONS[edition] | options
    if "users" in content:
        options["users"] = reader.users("users", content["users"])
    if "vpns" in content:
        options["more_vpns"] = reader.vpns(content["vpns"])
    queues = reader.queues(content.get("queues", []))
    return BrokerSetup(options=options, queues=queues, faults=reader.faults(content.get("faults", [])))


class _Reader:
    """Checks what a file says, and knows where it says it."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._lines = text.splitlines()

    def mistake(self, key: str, why: str) -> ConfigurationError:
        """Return the error about a key."""
        written = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=\]]""")
        line = next((number for number, one in enumerate(self._lines, 1) if written.match(one)), None)
        where = "" if line is None else f", line {line}"
        return ConfigurationError(f"The broker's configuration {self._file}{where}: {why}.")

    def options(self, table: str, given: Any, known: dict[str, str]) -> dict[str, Any]:
        """Return options under their names in Python."""
        if not isinstance(given, dict):
            raise self.mistake(table, f"{table} must be a table, [{table}]")
        found = {}
        for key, value in given.items():
            name = key.replace("-", "_")
            kind = known.get(name)
            if kind is None:
                raise self.mistake(key, f"there is no option {key!r} in {table}")
            found[name] = self._typed(key, value, kind.removesuffix(" | None"))
        return found

    def _typed(self, key: str, value: Any, kind: str) -> Any:
        if kind == "list":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise self.mistake(key, f"{key} must be a list of texts")
            return value
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "bool"):
            raise self.mistake(key, f"{key} is {value!r}; it must be {_TYPE_NAMES[kind]}")
        return value

    def vpns(self, given: Any) -> dict[str, dict[str, str | None]]:
        """Return message VPNs, each with its usernames and their passwords."""
        if not isinstance(given, dict):
            raise self.mistake("vpns", "each message VPN must be a table of its usernames, [vpns.NAME]")
        return {name: self.users(f"vpns.{name}", users) for name, users in given.items()}

    def users(self, table: str, given: Any) -> dict[str, str | None]:
        """Return usernames and their passwords."""
        if not isinstance(given, dict) or not given:
            raise self.mistake(table, f"{table} must be a table of usernames, [{table}]")
        return {name: self._password(name, value) for name, value in given.items()}

    def _password(self, name: str, value: Any) -> str | None:
        if value is True:
            return None
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str):
            file = self._file.parent / value["file"]
            try:
                return file.read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise self.mistake(name, f"the password file of {name} cannot be read: {error}") from error
        raise self.mistake(name, f"{name} needs a password, {{ file = ... }}, or true for any password")

    def queues(self, given: Any) -> tuple[dict[str, Any], ...]:
        """Return queues."""
        if not isinstance(given, list):
            raise self.mistake("queues", "each queue must be a table of its own, [[queues]]")
        found = tuple(self.options("queues", one, _QUEUE_OPTIONS) for one in given)
        if not all("name" in one for one in found):
            raise self.mistake("queues", "a queue needs a name")
        return found

    def faults(self, given: Any) -> tuple[Fault, ...]:
        """Return faults."""
        try:
            return tuple(map(parse_fault, self._typed("faults", given, "list")))
        except ConfigurationError as error:
            if str(self._file) in str(error):
                raise
            raise self.mistake("faults", str(error).rstrip(".")) from error
