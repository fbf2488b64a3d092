from __future__ import annotations

from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.commitlog.partition_options import PartitionOptions
from flumebeam.commitlog.rolling import RollOptions
from flumebeam.errors import ConfigurationError
from flumebeam.interceptors import HostInterceptor, SeverityInterceptor, StaticInterceptor, TimestampInterceptor
from flumebeam.pipelines.options import ConnectionOptions, FileOptions, TargetOptions, required
from flumebeam.solace.auth import CertificateAuthentication, OAuthAuthentication
from flumebeam.solace.config import ReconnectPolicy, Secret, SolaceOptions, TlsOptions
from flumebeam.sources.options import FileSourceOptions


def files(*argv: str) -> FileOptions:
    return PipelineOptions(list(argv)).view_as(FileOptions)


def connection(*argv: str) -> ConnectionOptions:
    return PipelineOptions(list(argv)).view_as(ConnectionOptions)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HOST", "VPN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"SOLACE_{name}", raising=False)
    return monkeypatch


def test_options_win_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SOLACE_HOST", "env:1")
    environment.setenv("SOLACE_VPN", "env-vpn")

    made = connection("--solace_host=given:2").connection()

    assert (made.host, made.vpn, made.username) == ("tcp://given:2", "env-vpn", "default")


def test_the_password_comes_from_environment_or_file_and_shows_nowhere(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("SOLACE_PASSWORD", "hush")
    (tmp_path / "pw").write_text("quiet\n")
    given = connection(f"--solace_password_file={tmp_path / 'pw'}")

    assert connection().connection().secret.reveal() == "hush"
    assert given.connection().secret.reveal() == "quiet"
    for options in (connection(), given):
        assert "hush" not in repr(options.connection()) + repr(options.display_data()) + repr(options.get_all_options())
        assert "quiet" not in repr(options.connection()) + repr(options.display_data())


def test_a_broker_that_went_away_is_waited_for_as_long_as_was_asked() -> None:
    pair = connection("--reconnect_seconds=10", "--solace_reconnect=ha-pair").connection().reconnect
    assert (pair.attempts, pair.wait_seconds) == (4, 3)
    assert connection("--reconnect_seconds=7").connection().reconnect == ReconnectPolicy(attempts=7, wait_seconds=1)
    assert connection().connection().reconnect == ReconnectPolicy()
    with pytest.raises(ConfigurationError, match="between 0 and 1000, got 1001"):
        connection("--reconnect_seconds=1001").connection()


def test_a_password_is_no_option() -> None:
    with pytest.raises(AttributeError):
        _ = PipelineOptions([]).view_as(ConnectionOptions).solace_password


def test_input_is_kept_and_a_spool_directory_is_renamed() -> None:
    assert files("--input=a.log").source() == FileSourceOptions(path="a.log")
    assert files("--spool_dir=d", "--follow", "--tracker_dir=t", "--max_line_bytes=9").source() == FileSourceOptions(
        path="d", spool=True, follow=True, tracker_dir="t", max_line_bytes=9
    )
    assert not files("--spool_dir=d", "--keep_files").source().renames


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "by one of --input"),
        (["--input=a", "--spool_dir=b"], "by one of --input"),
        (["--input=a", "--follow"], "--follow needs --spool_dir"),
        (["--input=a", "--keep_files"], "--keep_files is for --spool_dir"),
    ],
)
def test_sources_that_cannot_work_are_refused(argv: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        files(*argv).source()


def test_interceptors_stand_in_the_order_given() -> None:
    assert files().chain() == (HostInterceptor(), SeverityInterceptor())
    assert files("--interceptors=").chain() == ()
    timestamp, host, static = files("--interceptors=timestamp, host", "--header=dc=eu=1").chain()
    assert isinstance(timestamp, TimestampInterceptor)
    assert host == HostInterceptor()
    assert static == StaticInterceptor(header="dc", value="eu=1")


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--interceptors=uuid"], "There is no interceptor 'uuid'.*host, severity, timestamp"),
        (["--header=dc"], "must look like NAME=VALUE"),
        (["--header==x"], "cannot be the name of a header"),
    ],
)
def test_interceptors_that_cannot_work_are_refused(argv: list[str], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        files(*argv).chain()


def test_files_roll_by_size_and_age_unless_told_otherwise() -> None:
    def rolling(*argv: str) -> RollOptions | None:
        return PipelineOptions(argv).view_as(TargetOptions).rolling()

    assert rolling() == RollOptions()
    assert rolling("--roll_bytes=0", "--roll_seconds=5", "--roll_events=7", "--roll_idle_seconds=2") == RollOptions(
        max_bytes=0, max_seconds=5, max_events=7, idle_seconds=2
    )
    assert rolling("--max_open_files=3") == RollOptions(max_open=3)
    assert rolling("--roll=transaction") is None
    assert rolling("--roll=flume", "--roll_seconds=60") == RollOptions(
        max_bytes=1024, max_seconds=60, max_events=10, every_event=True
    )
    with pytest.raises(ConfigurationError, match="leave --roll_"):
        rolling("--roll=transaction", "--roll_bytes=1")


def test_partitions_are_watched_if_somebody_asks() -> None:
    def partitions(*argv: str) -> PartitionOptions | None:
        return PipelineOptions(argv).view_as(TargetOptions).partitions()

    assert partitions() is None
    assert partitions("--success_file=_DONE") == PartitionOptions(success_file="_DONE")
    hook = "http://metastore/complete"
    assert partitions(f"--on_partition_complete={hook}", "--partition_delay_seconds=5") == PartitionOptions(
        on_complete=hook, delay_seconds=5
    )
    with pytest.raises(ConfigurationError, match="give one of them"):
        partitions("--partition_delay_seconds=5")


def test_what_is_missing_is_named() -> None:
    assert required("x", "queue", "a name") == "x"
    with pytest.raises(ConfigurationError, match=r"--queue is missing: give a name\."):
        required(None, "queue", "a name")


def test_every_way_of_connecting_has_its_options(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('vpn = "of-the-file"\nusername = "of-the-file"\n')

    made = connection(
        f"--solace_config={tmp_path / 'c.toml'}",
        "--solace_url=tcps://me@broker/",
        "--solace_trust_store=/ca",
        "--solace_verify_host_name=false",
        "--solace_client_certificate=/me.pem",
        "--solace_client_key=/me.key",
        "--solace_compression_level=3",
        "--solace_client_name=me",
    ).connection()

    assert made == SolaceOptions(
        host="tcps://broker",
        vpn="of-the-file",
        username="me",
        tls=TlsOptions(trust_store="/ca", verify_host_name=False),
        authentication=CertificateAuthentication(certificate="/me.pem", key="/me.key"),
        compression_level=3,
        client_name="me",
    )
    tokens = connection("--solace_host=tcps://b", "--solace_token_file=/t").connection()
    assert tokens.authentication == OAuthAuthentication(access_token=Secret.from_file("/t"))
