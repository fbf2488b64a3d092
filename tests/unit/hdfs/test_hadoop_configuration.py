from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.hadoop_configuration import HadoopConfiguration
from flumebeam.hdfs.targets import HdfsOptions, KerberosOptions, parse_target

PAIR = {
    "dfs.nameservices": "ns1, other",
    "dfs.ha.namenodes.ns1": "nn1,nn2",
    "dfs.namenode.http-address.ns1.nn1": "one:9870",
    "dfs.namenode.http-address.ns1.nn2": "two:50070",
    "dfs.namenode.https-address.ns1.nn1": "one:9871",
    "dfs.namenode.https-address.ns1.nn2": "two:9871",
}


def configuration(**properties: str) -> HadoopConfiguration:
    return HadoopConfiguration({name.replace("__", "."): value for name, value in properties.items()}, "here")


def written(directory: Path, core: Mapping[str, str], hdfs: Mapping[str, str]) -> Path:
    for name, properties in (("core-site.xml", core), ("hdfs-site.xml", hdfs)):
        rows = "".join(f"<property><name>{n}</name><value> {v} </value></property>" for n, v in properties.items())
        (directory / name).write_text(f'<?xml version="1.0"?><configuration>{rows}</configuration>')
    return directory


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FLUMEBEAM_WEBHDFS_URL", "HADOOP_CONF_DIR", "HADOOP_TOKEN_FILE_LOCATION"):
        monkeypatch.delenv(name, raising=False)


def test_a_nameservice_is_all_of_its_namenodes() -> None:
    found = HadoopConfiguration(PAIR, "here")

    assert found.web_addresses("ns1") == ("http://one:9870", "http://two:50070")
    assert found.web_addresses("elsewhere") == ()


def test_a_cluster_that_speaks_https_only_is_asked_so() -> None:
    found = HadoopConfiguration({**PAIR, "dfs.http.policy": "HTTPS_ONLY"}, "here")

    assert found.web_addresses("ns1") == ("https://one:9871", "https://two:9871")


def test_a_nameservice_without_addresses_is_told_by_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"here names no dfs.namenode.http-address .* nameservice other"):
        HadoopConfiguration(PAIR, "here").web_addresses("other")


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("nn:9999", "http://nn:9999"),
        ("0.0.0.0:9999", "http://nn:9999"),
        ("", "http://nn:9870"),
        ("nn", "http://nn:9870"),
    ],
)
def test_a_single_namenode_is_known_by_its_rpc_address(address: str, found: str) -> None:
    properties = {"fs.defaultFS": "hdfs://nn:8020/"} | ({"dfs.namenode.http-address": address} if address else {})

    assert HadoopConfiguration(properties, "here").web_addresses("nn:8020") == (found,)


def test_a_wildcard_in_a_nameservice_is_the_host_of_its_rpc() -> None:
    properties = {
        **PAIR,
        "dfs.namenode.http-address.ns1.nn1": "0.0.0.0:9870",
        "dfs.namenode.rpc-address.ns1.nn1": "${one.host}:8020",
        "one.host": "${env.ONE}",
    }

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONE", "uno")
        assert HadoopConfiguration(properties, "here").web_addresses("ns1")[0] == "http://uno:9870"


def test_what_refers_to_nothing_or_itself_stays_as_it_is() -> None:
    found = configuration(a="${b} ${a}", b="x${c}")

    assert found.get("b") == "x${c}"
    assert found.get("a").startswith("x${c} ")


def test_an_address_is_looked_up_in_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = {"fs.defaultFS": "hdfs://ns1", "hadoop.security.authentication": "Kerberos"}
    monkeypatch.setenv("HADOOP_CONF_DIR", str(written(tmp_path, core, PAIR)))

    for url in ("hdfs://ns1/logs", "hdfs:///logs"):
        address = parse_target(url)
        assert address.options.webhdfs_urls == ("http://one:9870", "http://two:50070")
        assert address.options.kerberos == KerberosOptions()
        assert address.root == "/logs"
    assert parse_target("hdfs://nn/x").options.webhdfs_urls == ("http://nn:9870",)
    named = HdfsOptions(kerberos=KerberosOptions(principal="a@B", keytab="k"))
    assert parse_target("hdfs://ns1/x", options=named).options.kerberos == named.kerberos
    monkeypatch.setenv("HADOOP_TOKEN_FILE_LOCATION", "/tokens")
    assert parse_target("hdfs://ns1/x").options.token_file == "/tokens"
    assert parse_target("hdfs://ns1/x").options.kerberos is None
    monkeypatch.setenv("FLUMEBEAM_WEBHDFS_URL", "http://a:1")
    assert parse_target("hdfs://ns1/x").options.webhdfs_urls == ("http://a:1",)


def test_a_configuration_that_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=f"HADOOP_CONF_DIR is {tmp_path}, which holds no core-site.xml"):
        parse_target("hdfs://ns1/x")

    (tmp_path / "core-site.xml").write_text("<configuration>")
    with pytest.raises(ConfigurationError, match=r"core-site.xml cannot be read as a Hadoop configuration"):
        parse_target("hdfs://ns1/x")


def test_the_default_file_system_counts_only_if_it_is_hdfs() -> None:
    assert configuration(fs__defaultFS="file:///").default_authority == ""
    assert configuration(fs__defaultFS="hdfs://nn:1/x").default_authority == "nn:1"
