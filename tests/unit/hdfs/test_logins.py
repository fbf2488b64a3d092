from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import requests

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.logins import login_of
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions
from flumebeam.hdfs.webhdfs_errors import NoTicketError


def nobody(*_: object) -> requests.Response:
    raise AssertionError("nobody is asked")


def test_a_name_goes_with_every_request() -> None:
    login = login_of(HdfsOptions(user="etl", proxy_user="alice"), nobody)

    assert login.parameters() == {"user.name": "etl", "doas": "alice"}
    assert login.refused() is False


def test_kerberos_without_its_package_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests_gssapi", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'flumebeam\[kerberos\]'"):
        login_of(HdfsOptions(kerberos=KerberosOptions()), nobody)


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    login = login_of(HdfsOptions(token_file=str(file), kerberos=KerberosOptions()), nobody)
    with pytest.raises(NoTicketError, match="cannot be read: No such file"):
        login.parameters()

    file.write_text("first")
    assert login.parameters() == {"delegation": "first"}
    assert login.refused() is False
    file.write_text("second")
    os.utime(file, ns=(1, 1))
    assert login.refused() is True
    assert login.parameters() == {"delegation": "second"}
