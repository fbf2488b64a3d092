"""Delegation tokens in files, as Hadoop writes them (``org.apache.hadoop.security.Credentials``) or as text."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Final

from flumebeam.errors import ConfigurationError

__all__ = ["read_token"]

_MAGIC: Final = b"HDTS"
_WRITABLE: Final = 0
_KINDS: Final = ("HDFS_DELEGATION_TOKEN", "WEBHDFS delegation", "SWEBHDFS delegation")


def read_token(data: bytes, where: str) -> str:
    """Return the first HDFS token of a file, as WebHDFS takes it in an address.

    Args:
        data: The file. As ``hdfs fetchdt`` writes it: ``HDTS``, a version, a number of tokens, and for each its alias
            and its four fields, all with lengths in front. Anything else is taken as the text of one token.
        where: Its path, for messages.

    Raises:
        ConfigurationError: It holds none.
    """
    if not data.startswith(_MAGIC):
        text = data.decode("ascii", errors="replace").strip()
        if not text or not text.replace("-", "").replace("_", "").isalnum():
            raise ConfigurationError(f"{where} holds no delegation token; write one with: hdfs fetchdt.")
        return text
    try:
        reader = _Reader(data, len(_MAGIC))
        if (version := reader.take(1)[0]) != _WRITABLE:
            raise ValueError(f"version {version}")
        for _ in range(reader.number()):
            reader.field()
            start = reader.at
            reader.field(), reader.field()
            kind = reader.field().decode()
            reader.field()
            if kind in _KINDS:
                return urlsafe_b64encode(data[start : reader.at]).rstrip(b"=").decode("ascii")
    except (IndexError, ValueError) as error:
        raise ConfigurationError(
            f"{where} cannot be read as Hadoop's credentials ({error}); write it with: hdfs fetchdt."
        ) from error
    raise ConfigurationError(f"{where} holds no token for HDFS; write one with: hdfs fetchdt.")


class _Reader:
    """Hadoop's ``Writable`` encoding."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, count: int) -> bytes:
        piece = self._data[self.at : self.at + count]
        if count < 0 or len(piece) < count:
            raise ValueError("it ends too soon")
        self.at += count
        return piece

    def number(self) -> int:
        """Read a length: one byte, or a byte that says how many follow (``WritableUtils.readVInt``)."""
        first = self.take(1)[0]
        if first < 0x80:
            return first
        if not 0x88 <= first < 0x90:
            raise ValueError("a length below zero")
        return int.from_bytes(self.take(0x90 - first))

    def field(self) -> bytes:
        return self.take(self.number())
