"""Databases of older and newer versions, and of other programs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flumebeam.broker.core.journal import DeliveredAgain, Renumbered, Stored
from flumebeam.broker.core.queue_settings import QueueSettings
from flumebeam.broker.store import FILE_NAME, Store
from flumebeam.broker.store_schema import _STEPS, VERSION
from flumebeam.errors import ConfigurationError
from flumebeam.smf.assuredctrl import SessionState
from flumebeam.smf.pubmsg import MessageTemplate
from tests.unit.broker.conftest import SPOOLER, Peer
from tests.unit.broker.durable import whole_state
from tests.unit.broker.lives import keeping, reborn


def test_large_body_is_kept_in_few_pages(store: Store, tmp_path: Path) -> None:
    store.close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)

    assert connection.execute("PRAGMA page_size").fetchone() == (16_384,)
    connection.close()


def test_database_of_the_first_version_is_read_and_goes_on(make_world: Callable[..., Any], tmp_path: Path) -> None:
    older = make_world()
    older.engine.create_queue("q", "exclusive", ["t/>", "u"])
    settings = json.dumps(asdict(older.engine.vpn.queues["q"].settings))
    head = MessageTemplate(Peer.message(1, 1, 0, b"old").encode()[:-3]).head()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.executescript(_STEPS[0])
        connection.execute("INSERT INTO identity VALUES (?, 'default', 1000, 50)", (SPOOLER,))
        connection.execute("INSERT INTO queues VALUES (3, 'q', 1, NULL, 4, ?, 7)", (settings,))
        connection.execute("INSERT INTO subscriptions VALUES (1, 'q', 't/>'), (2, 'q', 'u')")
        connection.execute("INSERT INTO messages VALUES (7, ?, x'', x'6f6c64')", (head,))
        connection.execute("INSERT INTO entries VALUES (7, 3, 9)")
        connection.execute("INSERT INTO publishers VALUES ('f', 4, 'app', NULL, 1, '5')")
        connection.execute("INSERT INTO sessions VALUES ('s', 5, 'app', 1, 2, 1)")
        connection.execute("PRAGMA user_version = 1")
        connection.execute(f"PRAGMA application_id = {0x666C756D}")
    connection.close()
    store = Store.open(tmp_path, "default", 5)
    world = keeping(make_world, list(store.records()))
    before = whole_state(world.engine)
    peer = world.client("app")
    peer.publish(peer.publisher().flow_id, b"new")

    assert store.spooler_id == SPOOLER
    assert world.engine.queue("q").subscriptions == ("t/>", "u")
    assert before["default"][1]["positions"] == {"f": 5}
    assert before["default"][1]["sessions"] == {"s": (5, "app", (1, 2), SessionState.COMMITTED)}
    again = reborn(make_world, world, store)
    consumer = again.client("next")
    consumer.consume("q")
    assert consumer.bodies() == [b"old", b"new"]
    store.close()
    again_open = Store.open(tmp_path, "default", 5)
    again_open.close()


def test_what_a_row_for_each_message_said_is_known_after_the_upgrade(tmp_path: Path) -> None:
    head = MessageTemplate(Peer.message(1, 1, 0, b"old").encode()[:-3]).head()
    settings = json.dumps(asdict(QueueSettings(max_bytes=9, max_unacked=9, max_consumers=1)))
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        for step in _STEPS[:6]:
            connection.executescript(step)
        connection.execute("INSERT INTO identity VALUES (?, 'default', 1000, 50)", (SPOOLER,))
        connection.execute("INSERT INTO vpns VALUES (1, 'default', NULL)")
        connection.execute("INSERT INTO queues VALUES (3, 1, 'q', 1, NULL, 4, ?, 7)", (settings,))
        connection.executemany("INSERT INTO messages VALUES (?, ?, x'', x'6f6c64', 1.5)", [(7, head), (8, head)])
        connection.execute("INSERT INTO entries VALUES (7, 3, 9, 2), (8, 3, NULL, NULL)")
        connection.execute("PRAGMA user_version = 6")
        connection.execute(f"PRAGMA application_id = {0x666C756D}")
    connection.close()

    for _ in range(2):
        store = Store.open(tmp_path, "default", 5)
        records = list(store.records())
        store.close()
        (stored,) = (record for record in records if isinstance(record, Stored))
        assert [(message.id, message.body, message.arrived) for message in stored.messages] == [
            (7, b"old", 1.5),
            (8, b"old", 1.5),
        ]
        assert [record for record in records if isinstance(record, Renumbered)] == [Renumbered("q", [(7, 9)])]
        assert [record for record in records if isinstance(record, DeliveredAgain)] == [DeliveredAgain("q", [(7, 2)])]


def test_newer_format_is_refused_and_left_alone(store: Store, tmp_path: Path) -> None:
    store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()

    with pytest.raises(ConfigurationError, match="newer flumebeam"):
        Store.open(tmp_path, "default", SPOOLER)


def test_foreign_database_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()

    with pytest.raises(ConfigurationError, match="not a broker's database"):
        Store.open(tmp_path, "default", SPOOLER)
