"""Many messages as one value of the store: a pack.

A row for each message costs 6 us and its deletion 3; a row for some hundreds costs little more than their bytes. A pack
holds messages that came with one commit, in the order of their ids: numbers by column, little endian, then the heads of
their templates, each once, then all contents summaries, then all bodies.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from typing import Final

from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.smf.pubmsg import MessageTemplate

__all__ = ["decode_pack", "encode_pack"]

_SIZES: Final = struct.Struct("<II")
"""Number of messages, and of templates."""


def encode_pack(first: int, messages: Sequence[SpooledMessage]) -> bytes:
    """Return messages as one value.

    Args:
        first: Number that ids are counted from, not above the first one.
        messages: At least one, in the order of their ids, all of them less than 2**32 above ``first``.
    """
    count = len(messages)
    numbers: dict[MessageTemplate, int] = {}
    templates = [numbers.setdefault(message.template, len(numbers)) for message in messages]
    heads = [template.head() for template in numbers]
    summaries = [message.summary for message in messages]
    bodies = [message.body for message in messages]
    columns = struct.pack(
        f"<{count}I{count}I{count}I{count}I{count}d{len(heads)}I",
        *[message.id - first for message in messages],
        *templates,
        *map(len, summaries),
        *map(len, bodies),
        *[message.arrived for message in messages],
        *map(len, heads),
    )
    return b"".join(chain((_SIZES.pack(count, len(heads)), columns), heads, summaries, bodies))


def decode_pack(first: int, content: bytes, templates: dict[bytes, MessageTemplate]) -> list[SpooledMessage]:
    """Return the messages of a pack.

    Args:
        first: As it was encoded with.
        content: What :func:`encode_pack` made.
        templates: Templates by their heads; those that are missing are added.

    Raises:
        ValueError, LookupError, ProtocolError: This is no pack.
    """
    try:
        count, kinds = _SIZES.unpack_from(content)
        columns = struct.Struct(f"<{count}I{count}I{count}I{count}I{count}d{kinds}I")
        numbers = columns.unpack_from(content, _SIZES.size)
    except struct.error as error:
        raise ValueError(f"A pack of messages is cut short: {error}.") from error
    offsets, used, summary_sizes, body_sizes = (numbers[start : start + count] for start in range(0, 4 * count, count))
    arrived, head_sizes = numbers[4 * count : 5 * count], numbers[5 * count :]
    ends = list(accumulate((*head_sizes, *summary_sizes, *body_sizes), initial=_SIZES.size + columns.size))
    if ends[-1] != len(content):
        raise ValueError(f"A pack of {ends[-1]} bytes has {len(content)}.")
    parts = [content[start:end] for start, end in pairwise(ends)]
    kept = []
    for head in parts[:kinds]:
        template = templates.get(head)
        if template is None:
            template = templates[head] = MessageTemplate(head)
        kept.append(template)
    summaries, bodies = parts[kinds : kinds + count], parts[kinds + count :]
    return [
        SpooledMessage(first + offset, kept[template], summary, body, time)
        for offset, template, summary, body, time in zip(offsets, used, summaries, bodies, arrived, strict=True)
    ]
