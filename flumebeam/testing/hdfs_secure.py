"""A cluster as companies run it, for tests: Kerberos, TLS, tokens that end soon."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from flumebeam.downloads import find_java
from flumebeam.hdfs.cluster import LocalHdfs
from flumebeam.hdfs.daemons import site
from flumebeam.hdfs.logins import login_of
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, TlsOptions
from flumebeam.testing.kerberos import Kdc

__all__ = ["PRINCIPALS", "SecureHdfs"]

PRINCIPALS: Final = ("hdfs/localhost", "HTTP/localhost", "alice", "bob")
"""What the KDC must know: the daemons', and two people."""

_TOKEN_MS: Final = 8_000
_PASSWORD: Final = "changeit"  # noqa: S105 - of a key that lives for one test run
_JGSS: Final = "java.security.jgss/sun.security.krb5=ALL-UNNAMED"


class SecureHdfs(LocalHdfs):
    """A NameNode and a DataNode that ask for Kerberos, over TLS; ten seconds to start.

    A delegation token lasts 8 seconds and can be renewed for 20, so that tests see both ends.

    Attributes:
        ca_file: Certificate that clients trust.

    Args:
        directory: Where everything is kept.
        kdc: Knows :data:`PRINCIPALS`.
    """

    scheme = "https"

    def __init__(self, directory: Path, kdc: Kdc) -> None:
        directory.mkdir(exist_ok=True)
        self.kdc = kdc
        self.ca_file = directory / "ca.pem"
        store = directory / "keys.p12"
        _make_certificate(store, self.ca_file)
        service, web, keytab = kdc.principal("hdfs/localhost"), kdc.principal("HTTP/localhost"), str(kdc.keytab)
        core = {
            "hadoop.security.authentication": "kerberos",
            "hadoop.security.authorization": "true",
            "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
            "hadoop.http.authentication.type": "kerberos",
            "hadoop.http.authentication.kerberos.principal": web,
            "hadoop.http.authentication.kerberos.keytab": keytab,
            "hadoop.proxyuser.hdfs.hosts": "*",
            "hadoop.proxyuser.hdfs.groups": "*",
        }
        settings = {
            "dfs.http.policy": "HTTPS_ONLY",
            "dfs.block.access.token.enable": "true",
            "ignore.secure.ports.for.testing": "true",
            "dfs.namenode.delegation.token.renew-interval": str(_TOKEN_MS),
            "dfs.namenode.delegation.token.max-lifetime": "20000",
            "dfs.web.authentication.kerberos.principal": web,
            "dfs.web.authentication.kerberos.keytab": keytab,
            "dfs.namenode.kerberos.internal.spnego.principal": web,
        }
        for role in ("namenode", "datanode"):
            settings[f"dfs.{role}.kerberos.principal"] = service
            settings[f"dfs.{role}.keytab.file"] = keytab
        java = (
            f"--add-exports={_JGSS}",
            f"--add-opens={_JGSS}",
            f"-Djava.security.krb5.conf={kdc.configuration}",
        )
        super().__init__(directory, host="localhost", core=core, settings=settings, java_options=java)
        keys = {
            "ssl.server.keystore.location": str(store),
            "ssl.server.keystore.type": "pkcs12",
            "ssl.server.keystore.password": _PASSWORD,
            "ssl.server.keystore.keypassword": _PASSWORD,
        }
        for role in ("namenode", "datanode"):
            (self.home.configuration(role) / "ssl-server.xml").write_text(site(keys), encoding="utf-8")
        self._session.verify = str(self.ca_file)
        login_of(self.options("hdfs/localhost"), self._session.request).prepare(self._session)

    def options(self, name: str, **more: object) -> HdfsOptions:
        """Return the options of a client with the key of a principal.

        Args:
            name: Principal without the realm.
            more: Further options.
        """
        kerberos = KerberosOptions(principal=self.kdc.principal(name), keytab=str(self.kdc.keytab))
        return HdfsOptions(**{**self.bare_options, "kerberos": kerberos, **more})  # type: ignore[arg-type]

    @property
    def bare_options(self) -> dict[str, object]:
        """What every client needs, whoever it is."""
        return {"webhdfs_urls": (self.webhdfs_url,), "tls": TlsOptions(ca_file=str(self.ca_file))}


def _make_certificate(store: Path, certificate: Path) -> None:
    keytool = shutil.which("keytool", path=str(Path(find_java("HDFS")).resolve().parent)) or "keytool"
    common = ["-alias", "hdfs", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", _PASSWORD]
    names = ["-dname", "CN=localhost", "-ext", "san=dns:localhost,ip:127.0.0.1"]
    for command in (
        ["-genkeypair", "-keyalg", "RSA", "-validity", "2", *names],
        ["-exportcert", "-rfc", "-file", str(certificate)],
    ):
        subprocess.run([keytool, *command, *common], check=True, capture_output=True, timeout=60)  # noqa: S603 - fixed
