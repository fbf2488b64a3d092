"""The table of Flume's HDFS sink settings in the documentation: made here, and true of the options as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.hdfs.paths import PathOptions
from flumebeam.pipelines.hdfs_options import HdfsTargetOptions
from flumebeam.pipelines.options import TargetOptions
from flumebeam.pipelines.table_options import TableTargetOptions

_OPTIONS = {
    "hdfs.path": ("--target", "the part without escapes"),
    "hdfs.path ": ("--path", "the part with escapes, all of Flume's"),
    "hdfs.filePrefix": ("--file_prefix", "with the same escapes, but `%D`: a prefix is no directory"),
    "hdfs.fileSuffix": (
        "--file_suffix",
        "by default the format's and the codec's own; no dot is added",
    ),
    "hdfs.rollInterval": ("--roll_seconds", "see [Rolling](#rolling)"),
    "hdfs.rollSize": ("--roll_bytes", "see [Rolling](#rolling)"),
    "hdfs.rollCount": ("--roll_events", "see [Rolling](#rolling)"),
    "hdfs.idleTimeout": ("--roll_idle_seconds", "see [Rolling](#rolling)"),
    "hdfs.maxOpenFiles": ("--max_open_files", "5000, as in Flume; an open file costs no handle"),
    "hdfs.codeC": ("--codec", "`gzip`, `bzip2`, `snappy` and others; no `lzo`"),
    "hdfs.fileType, hdfs.writeFormat, serializer": ("--format", "see [Formats](#formats)"),
    "serializer = org.apache.flume.sink.hdfs.AvroEventSerializer$Builder": (
        "--body",
        "`avro`, with `--format avro`; see [Avro bodies](#avro-bodies)",
    ),
    "serializer.schemaURL": ("--schema", "without it the headers name schemas, as with Flume"),
    "serializer.compressionCodec": ("--codec", "`deflate`, `snappy`, `bzip2`, `zstd`"),
    "hdfs.round, hdfs.roundUnit": ("--path_round_unit", "given: rounds"),
    "hdfs.roundValue": ("--path_round_value", ""),
    "hdfs.timeZone": ("--path_time_zone", "`local` is Flume's default, `UTC` is ours"),
    "hdfs.useLocalTimeStamp": ("--path_local_time", ""),
    "hdfs.callTimeout": ("--patience_seconds", "for all attempts together"),
    "hdfs.kerberosPrincipal": ("--target_principal", "see [HDFS](hdfs.md)"),
    "hdfs.kerberosKeytab": ("--target_keytab", "see [HDFS](hdfs.md)"),
    "hdfs.proxyUser": ("--target_proxy_user", "see [HDFS](hdfs.md)"),
}
_FIXED = {
    "hdfs.inUsePrefix, hdfs.inUseSuffix, hdfs.emptyInUseSuffix": (
        "not needed: what is being written stands in `.flumebeam.logs`, under names that begin with `_`, and has its "
        "final name only when it is whole"
    ),
    "hdfs.batchSize": "transactions: `WriteToHdfs(max_events=)`",
    "hdfs.minBlockReplicas": "not needed: no file is open on HDFS",
    "hdfs.threadsPoolSize, hdfs.rollTimerPoolSize": "4; `CommitLogOptions(threads=)`",
    "hdfs.closeTries, hdfs.retryInterval": "not needed: what is committed is published by whoever comes next",
}


def table() -> str:
    """Return the table as it stands in docs/files.md."""
    rows = ["| Flume | here | remark |", "|---|---|---|"]
    rows += [f"| `{name.strip()}` | `{option}` | {remark} |" for name, (option, remark) in _OPTIONS.items()]
    rows += [f"| `{name}` | | {remark} |" for name, remark in _FIXED.items()]
    return "\n".join(row.replace("|  |", "| |") for row in rows) + "\n"


def test_the_table_in_the_documentation_is_this_one() -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text()

    assert table() in text, f"put this into docs/files.md:\n{table()}"


@pytest.mark.parametrize("option", sorted({option for option, _ in _OPTIONS.values()}))
def test_every_option_in_the_table_exists(option: str) -> None:
    groups = [PipelineOptions([]).view_as(group) for group in (TargetOptions, TableTargetOptions, HdfsTargetOptions)]

    assert any(hasattr(group, option.removeprefix("--")) for group in groups)


def test_times_in_paths_are_read_as_the_options_say() -> None:
    def options(*argv: str) -> PathOptions:
        return PipelineOptions(argv).view_as(TargetOptions).path_options()

    assert options() == PathOptions()
    rounded = options("--path_round_unit=minute", "--path_round_value=10", "--path_time_zone=local")
    assert rounded == PathOptions(time_zone="local", round_value=10, round_unit="minute")
    assert options("--path_local_time") == PathOptions(time_headers=())
