from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.httpfs import HttpFsFileSystem
from flumebeam.hdfs.local import LocalFileSystem
from flumebeam.hdfs.options import KerberosOptions, TlsOptions
from flumebeam.hdfs.targets import HdfsOptions, open_target, parse_target
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUMEBEAM_WEBHDFS_URL", raising=False)
    monkeypatch.delenv("HADOOP_USER_NAME", raising=False)
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    monkeypatch.delenv("HADOOP_TOKEN_FILE_LOCATION", raising=False)


@pytest.mark.parametrize(
    ("url", "root"),
    [("/data/logs", "/data/logs"), ("/data//logs/", "/data/logs"), ("file:///data/a b", "/data/a b"),
     ("file://localhost/data", "/data"), ("FILE:///data", "/data"), ("/", "/"), ("//data", "/data")],
)  # fmt: skip
def test_local_addresses_are_local_files(url: str, root: str) -> None:
    target = open_target(url)

    assert isinstance(target.filesystem, LocalFileSystem)
    assert target.root == root


def test_a_relative_path_is_below_the_working_directory() -> None:
    assert open_target("some/where").root == str(Path.cwd() / "some/where")


@pytest.mark.parametrize(
    ("url", "root", "asked"),
    [
        ("webhdfs://nn:1234/data/logs/", "/data/logs", "http://nn:1234"),
        ("webhdfs://nn/data", "/data", "http://nn:9870"),
        ("webhdfs://[::1]:1234/data", "/data", "http://[::1]:1234"),
        ("swebhdfs://nn/data", "/data", "https://nn:9871"),
        ("hdfs://nn/data", "/data", "http://nn:9870"),
        ("hdfs://nn:8020/data", "/data", "http://nn:9870"),
        ("hdfs://nn:8020", "/", "http://nn:9870"),
        ("hdfs://nn/a%20b?c", "/a%20b?c", "http://nn:9870"),
    ],
)
def test_hdfs_addresses_name_a_namenode_and_a_path(url: str, root: str, asked: str) -> None:
    address = parse_target(url)

    assert address.root == root
    assert address.options.webhdfs_urls == (asked,)
    assert isinstance(address.open().filesystem, WebHdfsFileSystem)


def test_an_address_names_all_namenodes_of_a_pair() -> None:
    assert parse_target("webhdfs://a:1,b/x").options.webhdfs_urls == ("http://a:1", "http://b:9870")
    assert parse_target("swebhdfs://a:1,b/x").options.webhdfs_urls == ("https://a:1", "https://b:9871")


@pytest.mark.parametrize(("scheme", "web"), [("httpfs", "http"), ("shttpfs", "https")])
def test_the_gateway_has_addresses_of_its_own(scheme: str, web: str) -> None:
    address = parse_target(f"{scheme}://edge/data")

    assert address.options.webhdfs_urls == (f"{web}://edge:14000",)
    assert isinstance(address.open().filesystem, HttpFsFileSystem)


def test_the_http_addresses_behind_hdfs_come_from_options_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUMEBEAM_WEBHDFS_URL", "http://a:1/;http://b:2; ")
    options = HdfsOptions(webhdfs_urls=("http://c:3",))

    assert parse_target("hdfs://ns1/x").options.webhdfs_urls == ("http://a:1", "http://b:2")
    assert parse_target("hdfs://ns1/x", options=options).options.webhdfs_urls == ("http://c:3",)
    assert parse_target("webhdfs://nn:1/x", options=options).options.webhdfs_urls == ("http://nn:1",)


def test_the_user_comes_from_options_then_environment_then_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_target("hdfs://nn/x").options.user
    monkeypatch.setenv("HADOOP_USER_NAME", "etl")

    assert parse_target("hdfs://nn/x").options.user == "etl"
    assert parse_target("hdfs://nn/x", options=HdfsOptions(user="alice")).options.user == "alice"


@pytest.mark.parametrize("url", ["/data", "hdfs://nn/data"])
def test_an_address_can_be_sent_to_a_worker(url: str) -> None:
    address = parse_target(url)

    assert pickle.loads(pickle.dumps(address)) == address  # noqa: S301


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://bucket/x", "unknown scheme 's3'; write /directory, file:"),
        ("hdfs:///data", "names no host"), ("webhdfs://a,/x", "names no host"),
        ("hdfs://", "names no host"), ("hdfs://me@nn/x", "not as host:port"),
        ("webhdfs://nn:port/x", "not as host:port"),
        ("file://data/x", "three slashes"), ("", "target is missing"), ("  ", "target is missing"),
        ("/a/../b", "'..'"), ("hdfs://nn/a/..", "'..'"),
    ],
)  # fmt: skip
def test_what_is_no_target_is_told_with_what_is(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        parse_target(url)


def test_an_environment_that_cannot_work_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUMEBEAM_WEBHDFS_URL", "nn:9870")

    with pytest.raises(ConfigurationError, match="'nn:9870' is no address"):
        parse_target("hdfs://nn/x")


@pytest.mark.parametrize(
    "options", [{"connect_timeout_secs": 0}, {"read_timeout_secs": -1}, {"connections": 0}, {"replication": 0}]
)
def test_times_and_sizes_must_be_positive(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match="more than 0"):
        HdfsOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [0, 0o2000])
def test_a_mode_is_permission_bits(mode: int) -> None:
    with pytest.raises(ConfigurationError, match="must be permission bits"):
        HdfsOptions(mode=mode)


def test_who_may_read_a_file_may_enter_its_directory() -> None:
    options = HdfsOptions(mode=0o640)

    assert options.file_rights == {"permission": "640", "unmaskedpermission": "640"}
    assert options.directory_rights == {"permission": "750", "unmaskedpermission": "750"}


def test_without_a_mode_an_inherited_acl_counts_in_full() -> None:
    assert HdfsOptions().file_rights == {"permission": "644", "unmaskedpermission": "666"}
    assert HdfsOptions().directory_rights == {"permission": "755", "unmaskedpermission": "777"}


def test_a_keytab_needs_a_principal_and_a_key_its_certificate() -> None:
    with pytest.raises(ConfigurationError, match=r"Keytab k needs a principal"):
        KerberosOptions(keytab="k")
    with pytest.raises(ConfigurationError, match=r"Key k needs its certificate"):
        TlsOptions(key_file="k")


def test_a_certificate_that_is_missing_is_told_when_the_target_is_opened(tmp_path: Path) -> None:
    options = HdfsOptions(tls=TlsOptions(ca_file=str(tmp_path / "ca.pem")))

    with pytest.raises(ConfigurationError, match=r"ca.pem, which TLS needs, cannot be read: No such file"):
        open_target("swebhdfs://nn/x", options=options)
