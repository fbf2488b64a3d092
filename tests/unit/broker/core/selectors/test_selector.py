"""Selectors: what they match, and what is none."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.broker.core.selectors import Selector, SelectorError
from flumebeam.broker.core.spool import SpooledMessage
from flumebeam.smf.fields import encode_parameter
from flumebeam.smf.params import HeaderParameters, encode_parameters
from flumebeam.smf.pubmsg import MessageTemplate
from tests.unit.structured import item, structured

USER = {
    "n": 7,
    "half": 0.5,
    "s": "abc",
    "quoted": "it's",
    "t": True,
    "f": False,
    "empty": None,
    "raw": item(6, b"abc"),
    "big": 2**62,
    "$x_1": 1,
    "größe": 3,
}
HEADERS = {"ci": "c-1", "mi": "m-1", "mt": "type", "rt": item(8, b"\0reply/to\0"), "ts": 1_700_000_000_000, "sn": 4}


def message(
    user: dict[str, Any] = USER, topic: str = "t/1", mode: int | None = 1, headers: dict[str, Any] = HEADERS
) -> SpooledMessage:
    payload, options = structured(b"body", user, headers)
    parameters = encode_parameters(HeaderParameters(topic=topic, priority=6, delivery_mode=mode))
    head = bytes.fromhex("1b8d00ff") + bytes(8) + parameters
    return SpooledMessage(1, MessageTemplate(head), encode_parameter(0x16, options["contents_summary"]), payload, 0.0)


MESSAGE = message()


def outcome(text: str, given: SpooledMessage = MESSAGE) -> bool | None:
    """Return the truth value of a condition on a message: None is unknown."""
    if Selector(text).matches(given):
        return True
    return None if not Selector(f"NOT ({text})").matches(given) else False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 7", True),
        ("n <> 7", False),
        ("n < 7", False),
        ("n <= 7", True),
        ("n > 6.5", True),
        ("n >= 7.5", False),
        ("7 = n", True),
        ("n = 7.0", True),
        ("n = 7L AND half = .5 AND half = 5e-1 AND half = 0.5d", True),
        ("n = 7.", True),
        ("s = 'abc'", True),
        ("s <> 'abd'", True),
        ("quoted = 'it''s'", True),
        ("t = TRUE", True),
        ("f = true", False),
        ("t <> f", True),
        ("t", True),
        ("f", False),
        ("s", None),
        ("n", None),
        ("$x_1 = 1 and größe = 3", True),
        # Unlike types are in no relation, not even in that of being different.
        ("s = 7", False),
        ("s <> 7", False),
        ("t = 1", False),
        ("s > 7", False),
        ("t >= 0", False),
        # What is not there is unknown.
        ("nothing = 1", None),
        ("nothing <> 1", None),
        ("nothing > 1", None),
        ("nothing = nothing", None),
        ("raw = 'abc'", None),
        ("empty = 1", None),
        ("nothing IS NULL", True),
        ("nothing IS NOT NULL", False),
        ("n IS NULL", False),
        ("n is not null", True),
        # Three-valued logic.
        ("nothing OR t", True),
        ("nothing OR f", None),
        ("f OR nothing OR t", True),
        ("f OR f", False),
        ("nothing AND t", None),
        ("nothing AND f", False),
        ("t AND t", True),
        ("NOT nothing", None),
        ("NOT t", False),
        ("NOT NOT t", True),
        ("t OR f AND f", True),
        ("(t OR f) AND f", False),
        ("NOT f AND f", False),
        ("s AND t", None),
        # Arithmetic.
        ("n + 1 = 8", True),
        ("n - 1 - 1 = 5", True),
        ("2 + 3 * n = 23", True),
        ("(2 + 3) * n = 35", True),
        ("n / 2 = 3", True),
        ("-n / 2 = -3", True),
        ("-n / -2 = 3", True),
        ("n / 2.0 = 3.5", True),
        ("+n = 7", True),
        ("- -n = 7", True),
        ("n / 0 = 1", None),
        ("s + 1 = 1", None),
        ("nothing * 2 = 1", None),
        ("-s = 1", None),
        (" * ".join(["big"] * 17) + " * 1.5 > 0", None),
        ("9223372036854775807 > n", True),
        # Ranges, sets, patterns.
        ("n BETWEEN 7 AND 9", True),
        ("n BETWEEN 8 AND 9", False),
        ("n NOT BETWEEN 8 AND 9", True),
        ("nothing BETWEEN 8 AND 9", None),
        ("n BETWEEN 1 + 1 AND 2 * 4 AND t", True),
        ("s IN ('x', 'abc')", True),
        ("s NOT IN ('x')", True),
        ("s IN ('x')", False),
        ("n IN ('7')", False),
        ("nothing IN ('x')", None),
        ("nothing NOT IN ('x')", None),
        ("s LIKE 'abc'", True),
        ("s LIKE 'ab'", False),
        ("s LIKE 'a%'", True),
        ("s LIKE '%c'", True),
        ("s LIKE '%'", True),
        ("s LIKE '%b%'", True),
        ("s LIKE '%x%c'", False),
        ("s LIKE 'a%b%c'", True),
        ("s LIKE 'b%'", False),
        ("s LIKE 'b%c%'", False),
        ("s LIKE 'ab%bc'", False),
        ("s LIKE 'a_c'", True),
        ("s LIKE '____'", False),
        ("s LIKE '_%_%_'", True),
        ("s LIKE 'a.c'", False),
        ("s NOT LIKE 'a%'", False),
        ("s LIKE 'a!bc' ESCAPE '!'", True),
        ("s LIKE 'a!_c' ESCAPE '!'", False),
        ("n LIKE '7'", False),
        ("nothing LIKE 'x'", None),
        # Header fields.
        ("JMSCorrelationID = 'c-1' AND ci = 'c-1'", True),
        ("JMSMessageID = 'm-1' AND JMSType = 'type'", True),
        ("JMSTimestamp >= 1700000000000 AND sn = 4", True),
        ("JMSReplyTo = 'reply/to'", True),
        ("JMSPriority BETWEEN 6 AND 6", True),
        ("JMSDeliveryMode = 'PERSISTENT'", True),
        ("JMSDestination = 't/1'", True),
        ("JMSExpiration IS NULL", True),
    ],
)
def test_condition_on_a_message_is_true_false_or_unknown(text: str, expected: bool | None) -> None:
    assert outcome(text) is expected


@pytest.mark.parametrize("text", ["", "  \t\n"])
def test_nothing_but_blanks_matches_everything(text: str) -> None:
    assert Selector(text).matches(MESSAGE)


def test_message_that_is_not_persistent_is_told_from_one_that_is() -> None:
    assert outcome("JMSDeliveryMode = 'NON_PERSISTENT'", message(mode=0)) is True


def test_destination_is_a_queue_by_its_name() -> None:
    assert outcome("JMSDestination = 'orders'", message(topic="#P2P/QUE/orders")) is True


def test_header_field_of_bytes_is_null() -> None:
    assert outcome("ci = 'x'", message(headers={"ci": item(6, b"x")})) is None


def test_message_whose_properties_cannot_be_read_has_none() -> None:
    damaged = SpooledMessage(1, MESSAGE.template, encode_parameter(0x16, b"\x42\x05"), b"\x01\0\0\0\x09", 0.0)

    assert Selector("n IS NULL AND JMSPriority = 6").matches(damaged)


def test_what_was_examined_and_matched_is_counted() -> None:
    selector = Selector("n = 7")
    selector.matches(MESSAGE)
    selector.matches(message({}))

    assert (selector.examined, selector.matched) == (2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "n =",
        "= 7",
        "n = 7 n",
        "n = 7)",
        "(n = 7",
        "n 7",
        "n == 7",
        "n != 7",
        "7",
        "'text'",
        "n + 1",
        "-n",
        "NOT 7",
        "NOT",
        "7 AND t",
        "t OR 'x'",
        "TRUE + 1 = 2",
        "1 + 'x' = 2",
        "-'x' = 2",
        "s < 'abd'",
        "'a' < n",
        "s BETWEEN 'a' AND 'b'",
        "n BETWEEN 1 OR 2",
        "n NOT 7",
        "n NOT NULL",
        "n IS 7",
        "7 IS NULL",
        "(n) IS NULL",
        "s LIKE 7",
        "'s' LIKE 's'",
        "s LIKE 'x' ESCAPE '!!'",
        "s LIKE 'x!' ESCAPE '!'",
        "s LIKE 'x' ESCAPE",
        "s IN ()",
        "s IN ('a'",
        "s IN ('a',)",
        "s IN 'a'",
        "s IN (7)",
        "NULL = 1",
        "s = 'open",
        's = "abc"',
        "n = 9223372036854775808",
        "n = 99999999999999999999999999",
        "a.b = 1",
        "n = 1 ; DROP",
        "(" * 40 + "t" + ")" * 40,
        "NOT " * 40 + "t",
        "-" * 40 + "n = 1",
        "t OR " * 500 + "t",
    ],
)
def test_text_that_is_no_selector_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(SelectorError) as caught:
        Selector(text)

    assert str(caught.value)


def test_long_chains_are_flat() -> None:
    assert outcome(" OR ".join(["f"] * 300 + ["t"])) is True
    assert outcome("+".join(["n"] * 900) + " = 6300") is True


def test_pattern_that_others_choke_on_is_matched_at_once() -> None:
    text = "a" * 50_000
    selector = Selector("s LIKE '" + "%a" * 400 + "%b'")

    assert not selector.matches(message({"s": text}))


@given(st.text())
def test_any_text_is_a_selector_or_is_refused(text: str) -> None:
    check(text)


@given(
    st.lists(
        st.sampled_from(
            [
                *("n", "s", "t", "nothing", "JMSPriority", "7", "0.5", "'a%'", "''", "TRUE", "NULL", "(", ")", ","),
                *(
                    "=",
                    "<>",
                    "<",
                    ">=",
                    "+",
                    "-",
                    "*",
                    "/",
                    "AND",
                    "OR",
                    "NOT",
                    "BETWEEN",
                    "LIKE",
                    "ESCAPE",
                    "IN",
                    "IS",
                ),
            ]
        ),
        max_size=25,
    ).map(" ".join)
)
def test_any_row_of_words_is_a_selector_or_is_refused(text: str) -> None:
    check(text)


def check(text: str) -> None:
    try:
        selector = Selector(text)
    except SelectorError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
    else:
        assert selector.matches(MESSAGE) in (True, False)
