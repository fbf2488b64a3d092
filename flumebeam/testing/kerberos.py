"""A Kerberos realm for tests: MIT's own KDC on loopback, with keys in files."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flumebeam.daemons import Daemon, free_ports
from flumebeam.errors import ConfigurationError

__all__ = ["Kdc"]

REALM: Final = "FLUMEBEAM.TEST"
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
_READY_SECS: Final = 30.0


class Kdc:
    """A KDC; a context manager. Under a second to start.

    Attributes:
        keytab: File with the keys of all principals.
        configuration: What ``KRB5_CONFIG`` names.

    Args:
        directory: Where everything is kept.
        principals: Names without the realm: ``hdfs/localhost``, ``alice``.
    """

    def __init__(self, directory: Path, *principals: str) -> None:
        self._directory = directory
        self._principals = principals
        self.keytab = directory / "all.keytab"
        self.configuration = directory / "krb5.conf"
        program = shutil.which("krb5kdc", path=_PATH)
        if program is None:
            raise ConfigurationError("The KDC is missing; on Debian: apt-get install krb5-kdc krb5-user.")
        [port] = free_ports(1)
        self.configuration.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = false\n"
            " dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n"
            f"[realms]\n {REALM} = {{\n  kdc = 127.0.0.1:{port}\n }}\n"
            f"[domain_realm]\n localhost = {REALM}\n",
            encoding="ascii",
        )
        (directory / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{port}\n kdc_tcp_listen = 127.0.0.1:{port}\n"
            f"[realms]\n {REALM} = {{\n  database_name = {directory}/principal\n  key_stash_file = {directory}/stash\n"
            "  max_life = 1d\n  max_renewable_life = 7d\n }\n"
            f"[logging]\n kdc = FILE:{directory}/kdc-requests.log\n",
            encoding="ascii",
        )
        self.environment = {"KRB5_CONFIG": str(self.configuration), "KRB5_KDC_PROFILE": str(directory / "kdc.conf")}
        self._daemon = Daemon("KDC", [program, "-n", "-r", REALM], directory / "kdc.log", self.environment)

    def __enter__(self) -> Self:
        self._run("kdb5_util", "create", "-r", REALM, "-s", "-P", "not a secret")
        for name in self._principals:
            self._run("kadmin.local", "-r", REALM, "-q", f"addprinc -randkey {name}")
            self._run("kadmin.local", "-r", REALM, "-q", f"ktadd -k {self.keytab} {name}")
        self._daemon.start()
        deadline = time.monotonic() + _READY_SECS
        while True:
            try:
                self.kinit(self._principals[0], self._directory / "probe")
            except ConfigurationError:
                if time.monotonic() > deadline or not self._daemon.is_running:
                    self._daemon.stop()
                    raise
                time.sleep(0.05)
            else:
                return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._daemon.stop()

    def principal(self, name: str) -> str:
        """Return the full name of a principal."""
        return f"{name}@{REALM}"

    def kinit(self, name: str, cache: Path, lifetime: str = "1d") -> None:
        """Put a ticket into a cache.

        Args:
            name: Principal without the realm.
            cache: File of the cache.
            lifetime: As ``kinit -l`` takes it.
        """
        self._run("kinit", "-l", lifetime, "-c", f"FILE:{cache}", "-kt", str(self.keytab), name)

    def _run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        where = shutil.which(program, path=_PATH)
        if where is None:
            raise ConfigurationError(f"{program} is missing; on Debian: apt-get install krb5-kdc krb5-user.")
        done = subprocess.run(  # noqa: S603 - our own command line
            [where, *arguments],
            env={**os.environ, **self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode:
            raise ConfigurationError(f"{program} {' '.join(arguments)} failed: {done.stderr.strip()}")
