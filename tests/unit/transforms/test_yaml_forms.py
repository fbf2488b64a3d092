"""What the forms of the transforms for Beam YAML make of plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apache_beam as beam
import pytest
import yaml

from flumebeam.commitlog.options import CommitLogOptions, QueueAccess
from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.options import TlsOptions as HdfsTls
from flumebeam.hdfs.targets import HdfsOptions
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.fields import MessageFields
from flumebeam.transforms import yaml_forms
from flumebeam.transforms.broker_position import BrokerPosition


def test_the_listing_names_every_form_and_no_other() -> None:
    (provider,) = yaml.safe_load(yaml_forms.PROVIDERS.read_text(encoding="utf-8"))

    named = {place.removeprefix("flumebeam.transforms.yaml_forms.") for place in provider["transforms"].values()}
    assert named == set(yaml_forms.__all__) - {"PROVIDERS"}
    assert all(place.replace("_", "") == name.lower() for name, place in _pairs(provider["transforms"]))


def _pairs(transforms: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, place.rpartition(".")[2]) for name, place in transforms.items()]


@pytest.mark.parametrize(
    ("kind", "given", "made"),
    [
        (MessageFields, {"partition_key": "host", "priority": 3}, MessageFields(partition_key="host", priority=3)),
        (CommitLogOptions, {"access": "shared"}, CommitLogOptions(access=QueueAccess.SHARED)),
        (
            HdfsOptions,
            {"webhdfs_urls": ["http://a:1"], "tls": {"ca_file": "/ca"}},
            HdfsOptions(webhdfs_urls=("http://a:1",), tls=HdfsTls(ca_file="/ca")),
        ),
    ],
)
def test_a_mapping_becomes_the_options_that_a_transform_takes(kind: type, given: dict[str, Any], made: object) -> None:
    assert yaml_forms._object(kind, "it", given) == made


def test_a_connection_is_a_url_a_mapping_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLACE_HOST", "tcp://elsewhere:1")

    assert yaml_forms._connection(None).host == "tcp://elsewhere:1"
    assert yaml_forms._connection("tcp://me@here:2/logs").vpn == "logs"
    assert yaml_forms._connection({"host": "tcp://there:3"}).host == "tcp://there:3"
    assert yaml_forms._position("q") == BrokerPosition(queue="q", connection=SolaceOptions.from_environment())


@pytest.mark.parametrize(
    ("form", "options", "why"),
    [
        (yaml_forms.read_from_solace, {"queue": "q", "quue": 1}, "ReadFromSolace has no option 'quue'; it has: acknow"),
        (yaml_forms.read_from_solace, {"queue": ""}, "name of the queue"),
        (yaml_forms.read_from_files, {"path": "x", "spol": True}, "no setting 'spol'"),
        (yaml_forms.read_from_files, {"path": "x", "spool": True, "when_done": "burn"}, "must be one of keep, rename"),
        (yaml_forms.write_to_solace, {"topic": "t", "fields": ["a"]}, "fields must be a mapping"),
        (yaml_forms.write_to_solace, {"topic": "t", "packing": {"max_event": 1}}, "packing has no setting 'max_event'"),
        (yaml_forms.write_to_solace, {"topic": "t", "error_handling": "x"}, "error_handling has one setting, output"),
        (yaml_forms.write_to_solace, {"topic": "t", "position": {"quue": "x"}}, "position has no setting 'quue'"),
        (yaml_forms.write_to_solace, {"topic": "t", "position": {}}, "position: .*'queue'"),
        (yaml_forms.write_to_hdfs, {"target": "/t", "roll": "never"}, "roll is 'never'"),
        (yaml_forms.write_to_hdfs, {"target": "/t", "format": "avro", "table": {}}, "cannot be read"),
        (
            yaml_forms.write_to_hdfs,
            {"target": "/t", "format": "avro", "table": {"body": "avro", "schema": "none.avsc"}},
            "none.avsc cannot be read",
        ),
        (
            yaml_forms.write_to_hdfs,
            {"target": "/t", "format": "avro", "table": {"body": "avro", "quote": ""}},
            "table has no setting 'quote'; it has: schema, server",
        ),
        (yaml_forms.intercept, {"interceptors": ["hots"]}, "no interceptor 'hots'"),
        (yaml_forms.dead_letters_to_solace, {"topic": "t", "mode": "direct"}, "are the last resort"),
    ],
)
def test_a_mistake_is_one_sentence(form: Callable[..., beam.PTransform], options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        form(**options)


def test_two_outputs_are_not_acknowledged_as_one() -> None:
    with beam.Pipeline("FnApiRunner") as pipeline:
        outputs = {name: pipeline | name >> beam.Create([1]) for name in ("written", "dead_letters")}
        with pytest.raises(ConfigurationError, match="an Acknowledge of its own"):
            outputs | yaml_forms.acknowledge()
