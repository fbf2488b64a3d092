from __future__ import annotations

from base64 import urlsafe_b64decode

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.tokens import read_token


def length(number: int) -> bytes:
    """A length as Hadoop writes it."""
    if number < 128:
        return bytes([number])
    data = number.to_bytes((number.bit_length() + 7) // 8)
    return bytes([0x90 - len(data)]) + data


def token(kind: bytes, identifier: bytes = b"i" * 300) -> bytes:
    return b"".join(length(len(field)) + field for field in (identifier, b"secret", kind, b"127.0.0.1:8020"))


def credentials(*tokens: bytes) -> bytes:
    return b"HDTS\0" + length(len(tokens)) + b"".join(b"\x05alias" + each for each in tokens) + b"\0"


def test_the_hdfs_token_of_a_file_is_found_among_others() -> None:
    wanted = token(b"HDFS_DELEGATION_TOKEN")

    found = read_token(credentials(token(b"RM_DELEGATION_TOKEN"), wanted), "f")

    assert urlsafe_b64decode(found + "=" * (-len(found) % 4)) == wanted


def test_a_token_as_text_is_taken_as_it_is() -> None:
    assert read_token(b" AAVhbGlj-ZQ_x\n", "f") == "AAVhbGlj-ZQ_x"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "f holds no delegation token"),
        (b"no token!", "f holds no delegation token"),
        (credentials(token(b"RM_DELEGATION_TOKEN")), "f holds no token for HDFS"),
        (credentials(token(b"HDFS_DELEGATION_TOKEN"))[:100], "ends too soon"),
        (b"HDTS", "ends too soon"),
        (b"HDTS\x01\x01", "version 1"),
        (b"HDTS\x00\x90", "below zero"),
        (b"HDTS\x00\x01\x05alias\xff", "below zero"),
    ],
)
def test_what_holds_no_token_is_told(data: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_token(data, "f")
