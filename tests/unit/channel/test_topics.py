from __future__ import annotations

import pickle

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flumebeam.batch import EventBatch
from flumebeam.channel.topics import TopicTemplate, topic_function
from flumebeam.errors import ConfigurationError

BATCH = EventBatch.from_bodies(
    [b"1", b"2", b"3"], {"host": "h1"}, {"level": ["info", None, ""], "app": ["a", "b/c", "a"]}
)


@pytest.mark.parametrize(
    ("template", "topics"),
    [
        ("logs/all", "logs/all"),
        ("logs/%{host}", "logs/h1"),
        ("logs/%{host}/%{level}/x", ["logs/h1/info/x", "logs/h1/none/x", "logs/h1/none/x"]),
        ("%{level}-%{app}", ["info-a", "none-b%2Fc", "none-a"]),
        ("logs/%{missing}", "logs/none"),
        ("100%%/%{host}", "100%/h1"),
    ],
)
def test_headers_are_inserted_and_what_is_shared_makes_one_topic(template: str, topics: str | list[str]) -> None:
    found = TopicTemplate(template)(BATCH)

    assert (found.to_pylist() if isinstance(found, pa.Array) else found) == topics


@given(st.lists(st.text(), min_size=1))
def test_no_header_changes_the_number_of_levels_or_makes_a_wildcard(values: list[str]) -> None:
    batch = EventBatch.from_bodies([b""] * len(values), {}, {"h": values})

    for topic in TopicTemplate("a/%{h}/b")(batch).to_pylist():
        assert topic.count("/") == 2
        assert not {"*", ">", "\0"} & set(topic)


@pytest.mark.parametrize(
    "template", ["", "/logs", "logs//x", "logs/", "logs/%x", "logs/%", "logs/%{}", "logs/%{a", "x" * 251]
)
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    with pytest.raises(ConfigurationError, match="Topic"):
        TopicTemplate(template)


def test_a_template_survives_pickling() -> None:
    assert pickle.loads(pickle.dumps(TopicTemplate("logs/%{host}")))(BATCH) == "logs/h1"  # noqa: S301 - our own bytes


def test_a_function_of_ones_own_is_taken_as_it_is() -> None:
    assert topic_function(len) is len  # type: ignore[comparison-overlap,arg-type]
