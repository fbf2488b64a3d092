"""Administrators, authorities and the certificate of the broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.broker.certificates import Authority
from tests.unit.broker.semp.paths import CONFIG, MONITOR

ROOT = "/SEMP/v2/config"
USERS = f"{ROOT}/usernames"


def test_administrator_of_the_configuration_is_there_and_stays(manage: Any) -> None:
    (own,) = manage("GET", USERS)["data"]

    assert own == {
        "userName": "admin",
        "enabled": True,
        "globalAccessLevel": "admin",
        "msgVpnDefaultAccessLevel": "none",
    }
    assert manage.refused("DELETE", f"{USERS}/admin")[1] == "NOT_ALLOWED"
    assert manage.refused("PATCH", f"{USERS}/admin", {"enabled": False})[1] == "NOT_ALLOWED"
    assert manage.refused("PATCH", f"{USERS}/admin", {"globalAccessLevel": "none"})[1] == "NOT_ALLOWED"


def test_made_administrator_gets_in_with_the_password_until_it_changes_or_he_goes(manage: Any) -> None:
    made = manage(
        "POST", USERS, {"userName": "ann", "password": "one", "enabled": True, "globalAccessLevel": "read-write"}
    )
    assert "password" not in made["data"]
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:one").status == 200
    about = manage.ask("GET", f"{ROOT}/about/user", credentials="ann:one")
    assert about.body["data"]["globalAccessLevel"] == "read-write"

    manage("PATCH", f"{USERS}/ann", {"password": "two"})
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:one").status == 401
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:two").status == 200
    manage("PATCH", f"{USERS}/ann", {"enabled": False})
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:two").status == 401
    manage("DELETE", f"{USERS}/ann")
    assert manage.refused("GET", f"{USERS}/ann")[1] == "NOT_FOUND"


@pytest.mark.parametrize("name", ["", "a" * 33, "a:b"])
def test_name_that_no_credentials_could_have_is_refused(manage: Any, name: str) -> None:
    assert manage.refused("POST", USERS, {"userName": name})[1] == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("level", "vpn_level", "method", "path", "allowed"),
    [
        ("none", "none", "GET", f"{CONFIG}/queues", False),
        ("none", "none", "GET", f"{ROOT}/about", True),
        ("none", "read-only", "GET", f"{CONFIG}/queues", True),
        ("none", "read-only", "GET", CONFIG, True),
        ("none", "read-only", "DELETE", f"{CONFIG}/queues/q", False),
        ("none", "read-write", "DELETE", f"{CONFIG}/queues/q", True),
        ("none", "read-write", "PATCH", CONFIG, False),
        ("none", "read-write", "GET", USERS, False),
        ("read-only", "none", "GET", USERS, True),
        ("read-only", "none", "DELETE", f"{CONFIG}/queues/q", False),
        ("mesh-manager", "none", "GET", f"{MONITOR}/queues", True),
        ("read-write", "none", "PATCH", CONFIG, True),
        ("read-write", "none", "POST", USERS, False),
        ("read-write", "none", "PATCH", ROOT, False),
        ("admin", "none", "PATCH", ROOT, True),
    ],
)
def test_access_level_decides_what_an_administrator_may_do(
    manage: Any, level: str, vpn_level: str, method: str, path: str, allowed: bool
) -> None:
    levels = {"globalAccessLevel": level, "msgVpnDefaultAccessLevel": vpn_level}
    manage("POST", USERS, {"userName": "ann", "password": "a", "enabled": True, **levels})
    reply = manage.ask(method, path, None if method == "GET" else {}, credentials="ann:a")

    assert reply.status == (200 if allowed else 403)


def test_exception_raises_or_lowers_the_level_of_one_message_vpn(manage: Any) -> None:
    manage("POST", USERS, {"userName": "ann", "password": "a", "enabled": True})
    made = manage(
        "POST", f"{USERS}/ann/msgVpnAccessLevelExceptions", {"msgVpnName": "default", "accessLevel": "read-only"}
    )
    assert made["data"] == {"userName": "ann", "msgVpnName": "default", "accessLevel": "read-only"}
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:a").status == 200
    one = f"{USERS}/ann/msgVpnAccessLevelExceptions/default"
    assert manage("PATCH", one, {})["data"]["accessLevel"] == "read-only"
    manage("PATCH", one, {"accessLevel": "none"})
    assert manage.ask("GET", f"{CONFIG}/queues", credentials="ann:a").status == 403
    manage("DELETE", one)
    assert manage("GET", f"{USERS}/ann/msgVpnAccessLevelExceptions")["data"] == []


@pytest.mark.parametrize("collection", ["certAuthorities", "clientCertAuthorities", "domainCertAuthorities"])
def test_authority_is_kept_shown_and_removed(manage: Any, tmp_path: Path, collection: str) -> None:
    content = Path(Authority(tmp_path).certificate).read_text(encoding="ascii")
    path = f"{ROOT}/{collection}"
    made = manage("POST", path, {"certAuthorityName": "ca", "certContent": content})["data"]

    assert (made["certAuthorityName"], made["certContent"]) == ("ca", content)
    assert manage("GET", f"/SEMP/v2/monitor/{collection}/ca")["data"] == made
    trusted = manage.world.engine.host.settings.trust.authorities
    assert trusted == (() if collection == "domainCertAuthorities" else (content,))
    assert manage("PATCH", f"{path}/ca", {})["data"] == made
    assert manage.refused("PATCH", f"{path}/ca", {"certContent": "nonsense"})[1] == "INVALID_PARAMETER"
    assert manage.refused("POST", path, {"certAuthorityName": "x" * 65})[1] == "INVALID_PARAMETER"
    manage("DELETE", f"{path}/ca")
    assert manage("GET", path)["data"] == []


def test_former_name_of_client_authorities_is_the_same_list_and_revocation_is_kept_without_effect(manage: Any) -> None:
    manage("POST", f"{ROOT}/certAuthorities", {"certAuthorityName": "ca", "crlUrl": "http://x/y"})

    (shown,) = manage("GET", f"{ROOT}/clientCertAuthorities")["data"]
    assert (shown["crlUrl"], shown["ocspTimeout"], shown["certContent"]) == ("http://x/y", 5, "")
    assert manage.world.engine.host.settings.trust.authorities == ()


def test_certificate_is_taken_and_never_shown_and_nothing_ends_it(manage: Any, tmp_path: Path) -> None:
    pem, key = (Path(file).read_text(encoding="ascii") for file in Authority(tmp_path).issue("broker"))
    shown = manage("PATCH", ROOT, {"tlsServerCertContent": pem + key})

    assert "tlsServerCertContent" not in shown["data"]
    settings = manage.world.engine.host.settings
    assert settings.trust.certificate.content == pem + key
    assert pem not in repr(settings.trust)
    manage("PATCH", ROOT, {"serviceSmfEnabled": True})
    assert settings.trust.certificate is not None
    manage("PATCH", ROOT, {"tlsServerCertContent": ""})
    assert settings.trust.certificate is None
    manage("PATCH", ROOT, {"tlsServerCertContent": ""})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"tlsServerCertContent": "nonsense"}, "INVALID_PARAMETER"),
        ({"tlsServerCertContent": 1}, "INVALID_PARAMETER"),
        ({"serviceSmfPlainTextListenPort": 7}, "NOT_SUPPORTED"),
        ({"nonsense": 1}, "INVALID_PARAMETER"),
    ],
)
def test_broker_is_not_changed_otherwise(manage: Any, body: Any, status: str) -> None:
    assert manage.refused("PATCH", ROOT, body)[1] == status
    assert manage.world.engine.host.settings.trust.certificate is None
