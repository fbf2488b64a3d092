from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from flumebeam.errors import ConfigurationError
from flumebeam.solace.auth import CertificateAuthentication, ClientCredentials, OAuthAuthentication
from flumebeam.solace.config import SolaceOptions
from flumebeam.solace.secret import NO_SECRET, Secret


def hush() -> str:
    return "geheim"


def fail() -> str:
    raise ValueError("geheim")


def number() -> str:
    return 7  # type: ignore[return-value]


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)

    with pytest.raises(ConfigurationError, match="NOT_SET_ANYWHERE"):
        Secret.from_environment("NOT_SET_ANYWHERE").reveal()


def test_a_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("ge heim \n")
    secret = Secret.from_file(tmp_path / "password")

    assert secret.reveal() == "ge heim "
    assert "ge heim" not in repr(secret)


def test_a_file_that_cannot_be_read_is_named_and_nothing_of_it_shown(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"geheim\xff")

    with pytest.raises(ConfigurationError, match="missing"):
        Secret.from_file(tmp_path / "missing").reveal()
    with pytest.raises(ConfigurationError, match="binary cannot be read: it is no text") as refused:
        Secret.from_file(tmp_path / "binary").reveal()
    assert "geheim" not in str(refused.value)


def test_a_function_is_asked_when_the_secret_is_needed_and_its_failure_does_not_show_it() -> None:
    assert Secret.from_function(hush).reveal() == "geheim"
    assert repr(Secret.from_function(hush)) == "Secret(function hush)"
    with pytest.raises(ConfigurationError, match="function fail, which returns a secret, failed: ValueError") as failed:
        Secret.from_function(fail).reveal()
    assert "geheim" not in str(failed.value)
    assert failed.value.__cause__ is None
    with pytest.raises(ConfigurationError, match="returned no text"):
        Secret.from_function(number).reveal()
    with pytest.raises(ConfigurationError, match="needs a function"):
        Secret("", "function").reveal()


@pytest.mark.parametrize(
    "secret", [Secret.from_environment("X"), Secret.from_file("/x"), Secret.from_function(hush), NO_SECRET]
)
def test_a_reference_is_pickled_as_itself(secret: Secret) -> None:
    assert pickle.loads(pickle.dumps(secret)) == secret  # noqa: S301
    assert secret.given == (secret is not NO_SECRET)


def test_no_option_of_a_connection_shows_a_literal_in_repr_or_pickle() -> None:
    secret = Secret("geheim")
    login = OAuthAuthentication(
        access_token=ClientCredentials(token_url="https://t/x", client_id="me", client_secret=secret), id_token=secret
    )
    for options in (
        SolaceOptions(password="geheim"),
        SolaceOptions(host="tcps://b", authentication=login),
        SolaceOptions(
            host="tcps://b", authentication=CertificateAuthentication(certificate="c", key="k", key_password=secret)
        ),
    ):
        assert "geheim" not in repr(options)
        assert "geheim" not in str(options)
        pickled = pickle.dumps(options)
        assert b"geheim" not in pickled
        assert pickle.loads(pickled) == options  # noqa: S301
        assert copy.deepcopy(options) == options


def test_a_literal_does_not_travel_to_another_process_and_says_so() -> None:
    pickled = pickle.dumps(Secret("geheim"))
    program = f"import pickle; pickle.loads({pickled!r}).reveal()"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "does not travel to other processes: give it as an environment variable" in done.stderr
    assert "geheim" not in done.stderr
    assert pickle.loads(pickled).reveal() == "geheim"  # noqa: S301
