"""Which file is this? The answer survives growth, renaming and restarts, and differs for a new file of an old name."""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from typing import Final, Self

__all__ = ["FileIdentity"]

_HEAD_BYTES: Final = 4096
"""How much of a file's beginning tells it from another one that got the same inode."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """A file as it was when it was looked at.

    Attributes:
        origin: 64 bits that name the file in the world. Drawn from host, device, inode, time of last change and the
            beginning of the contents when the file is met first; kept from then on, although the file may grow.
        inode: Inode number; the file keeps it when it is renamed, and another file may get it later.
        head_bytes: How many bytes from the beginning :attr:`head_hash` covers.
        head_hash: Hash of those bytes, hexadecimal.
    """

    origin: int
    inode: int
    head_bytes: int
    head_hash: str

    @classmethod
    def of(cls, handle: int) -> Self:
        """Look at an open file.

        Args:
            handle: File descriptor, readable; its offset is left alone.

        Raises:
            OSError: It cannot be read.
        """
        status = os.fstat(handle)
        head = os.pread(handle, _HEAD_BYTES, 0)
        facts = f"{socket.gethostname()}\0{status.st_dev}\0{status.st_ino}\0{status.st_mtime_ns}\0".encode()
        origin = int.from_bytes(hashlib.blake2b(facts + head, digest_size=8).digest(), "big")
        return cls(origin, status.st_ino, len(head), _hash(head))

    def is_of(self, handle: int) -> bool:
        """Tell whether an open file is this one, grown perhaps.

        The device number is not asked, since it may change when the machine starts again.

        Args:
            handle: File descriptor, readable.

        Raises:
            OSError: It cannot be read.
        """
        if os.fstat(handle).st_ino != self.inode:
            return False
        head = os.pread(handle, self.head_bytes, 0)
        return len(head) == self.head_bytes and _hash(head) == self.head_hash


def _hash(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=16).hexdigest()
