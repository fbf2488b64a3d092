"""Replication group message ids as text, as clients show them."""

from __future__ import annotations

import re
from typing import Final

from flumebeam.smf.assuredctrl import ReplayFrom, ReplayStart

__all__ = ["parse_message_id"]

_FORM: Final = re.compile(r"rmid1:([0-9a-f]{5})-([0-9a-f]{11})-([0-9a-f]{8})-([0-9a-f]{8})", re.IGNORECASE)


def parse_message_id(text: str) -> ReplayStart:
    """Return the point behind a message, given by its replication group message id.

    Args:
        text: Such as ``rmid1:11223-34455667788-00000000-00000001``: message spool and message, in hexadecimal digits.

    Raises:
        ValueError: It is none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no replication group message id; clients show such ids of their messages.")
    return ReplayStart(
        ReplayFrom.MESSAGE, spooler_id=int(found[1] + found[2], 16), message_id=int(found[3] + found[4], 16)
    )
