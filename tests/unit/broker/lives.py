"""Brokers that keep a journal, from one life to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flumebeam.broker.store import Store

__all__ = ["keeping", "reborn"]


def keeping(make_world: Callable[..., Any], records: Any = ()) -> Any:
    """Return a broker that keeps a journal: with what ``records`` say, or with a queue ``q`` that gets ``t/>``."""
    world = make_world()
    world.engine.restore(records, world.now)
    if not records:
        world.engine.create_queue("q", "exclusive", ["t/>"])
    return world


def reborn(make_world: Callable[..., Any], world: Any, store: Store) -> Any:
    """Return the next life of a broker that is killed when all is durable."""
    store.commit(world.engine.take_journal())
    return keeping(make_world, list(store.records()))
