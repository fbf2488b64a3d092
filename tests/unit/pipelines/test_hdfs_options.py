from __future__ import annotations

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, TlsOptions, Tokens
from flumebeam.pipelines.hdfs_options import HdfsTargetOptions


def options(*arguments: str) -> HdfsOptions:
    return HdfsTargetOptions(list(arguments)).hdfs()


def test_without_any_everything_is_the_cluster_s_own() -> None:
    assert options() == HdfsOptions()


def test_what_files_look_like_to_others_is_an_option() -> None:
    given = options("--target_mode=640", "--target_group=g", "--target_replication=2", "--target_block_bytes=1048576")

    assert given == HdfsOptions(mode=0o640, group="g", replication=2, block_bytes=1 << 20)


def test_who_writes_is_an_option() -> None:
    given = options("--target_principal=a@B", "--target_keytab=k", "--target_tokens", "--target_proxy_user=p")

    assert given.kerberos == KerberosOptions(principal="a@B", keytab="k", tokens=Tokens.OWN)
    assert given.proxy_user == "p"
    assert options("--target_token_file=t").token_file == "t"


def test_whom_to_trust_is_an_option() -> None:
    given = options("--target_ca_file=ca", "--target_certificate=c", "--target_key=k")

    assert given.tls == TlsOptions(ca_file="ca", certificate_file="c", key_file="k")


@pytest.mark.parametrize(
    ("argument", "said"),
    [("--target_mode=rw", "not 'rw'"), ("--target_mode=888", "not '888'"), ("--target_keytab=k", "needs a principal")],
)
def test_what_cannot_work_is_told(argument: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        options(argument)
