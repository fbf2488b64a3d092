"""How an HDFS is talked to, as plain data that travels to workers."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError

__all__ = ["HdfsOptions", "KerberosOptions", "TlsOptions", "Tokens"]

_MOST_MODE: Final = 0o1777


class Tokens(Enum):
    """What is done with delegation tokens under Kerberos."""

    NONE = "none"
    """Each session logs in by Kerberos and keeps the cookie it gets."""
    OWN = "own"
    """A token is got by Kerberos once, used for every request, renewed before it ends, and replaced at its last end:
    less work for the KDC, and a ticket is needed only now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KerberosOptions:
    """A login by Kerberos.

    Attributes:
        principal: Whom to log in as, ``name@REALM``; needed with a keytab. ``None``: whoever the ticket cache names.
        keytab: File with the principal's key, on every worker; tickets are then got, and got again, without anybody's
            help. ``None``: the ticket cache, which ``kinit`` fills and somebody keeps fresh.
        tokens: Whether delegation tokens are used.

    Raises:
        ConfigurationError: A keytab without a principal.
    """

    principal: str | None = None
    keytab: str | None = None
    tokens: Tokens = Tokens.NONE

    def __post_init__(self) -> None:
        if self.keytab and not self.principal:
            raise ConfigurationError(f"Keytab {self.keytab} needs a principal: name whose key of it is to be used.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """How servers are known under TLS, and how they know us. All are files on every worker, in PEM form.

    Attributes:
        ca_file: Authorities to trust; ``None`` for those that come with Python's ``requests``.
        certificate_file: Our own certificate, for clusters that ask for one.
        key_file: Its key, if it is not in the same file.

    Raises:
        ConfigurationError: A key without a certificate.
    """

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __post_init__(self) -> None:
        if self.key_file and not self.certificate_file:
            raise ConfigurationError(f"Key {self.key_file} needs its certificate.")

    def check(self) -> None:
        """Check that the files are there.

        Raises:
            ConfigurationError: One cannot be read.
        """
        for name in filter(None, (self.ca_file, self.certificate_file, self.key_file)):
            try:
                Path(name).open("rb").close()
            except OSError as error:
                raise ConfigurationError(f"{name}, which TLS needs, cannot be read: {error.strerror}.") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HdfsOptions:
    """How to talk to an HDFS.

    Attributes:
        user: Whom to write as without Kerberos; ``None`` for ``HADOOP_USER_NAME``, else the user of the operating
            system.
        proxy_user: Somebody else on whose behalf everything is done (``doas``); the cluster must allow our user that.
        kerberos: A login by Kerberos.
        token_file: File with a delegation token, as ``hdfs fetchdt`` writes it or as text; read again when it changes.
            In place of Kerberos, for workers that have no key. ``None`` for ``HADOOP_TOKEN_FILE_LOCATION``.
        tls: Certificates, for addresses with ``https``.
        webhdfs_urls: ``http://host:port`` of the NameNodes: one, or all of an HA pair. Empty: where the target says.
        connect_timeout_secs: Longest wait for a connection.
        read_timeout_secs: Longest wait for an answer, or for room while sending.
        connections: Connections kept open to each server; as many as threads use the file system at once.
        block_bytes: Block size of new files; ``None`` for the cluster's own. A space quota counts whole blocks while a
            file is being written.
        replication: Copies of new files; ``None`` for the cluster's own.
        mode: Permission bits of new files, such as ``0o640``; new directories can be entered by whom they can be read.
            ``None``: 644, or what the default ACL of the directory says, in full.
        group: Group of new files and directories; ``None``: that of the directory above.

    Raises:
        ConfigurationError: A number that is out of range, or an address that is not HTTP.
    """

    user: str | None = None
    proxy_user: str | None = None
    kerberos: KerberosOptions | None = None
    token_file: str | None = None
    tls: TlsOptions = TlsOptions()
    webhdfs_urls: tuple[str, ...] = ()
    connect_timeout_secs: float = 5.0
    read_timeout_secs: float = 60.0
    connections: int = 16
    block_bytes: int | None = None
    replication: int | None = None
    mode: int | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        for name in ("connect_timeout_secs", "read_timeout_secs", "connections", "block_bytes", "replication"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"HDFS option {name} must be more than 0, got {value}.")
        if self.mode is not None and not 0 < self.mode <= _MOST_MODE:
            raise ConfigurationError(f"HDFS option mode must be permission bits, such as 640, got {self.mode:o}.")
        urls = tuple(url.strip().rstrip("/") for url in self.webhdfs_urls if url.strip())
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ConfigurationError(f"WebHDFS address {url!r} is no address; write http://namenode:9870.")
        object.__setattr__(self, "webhdfs_urls", urls)

    def user_name(self) -> str:
        """Return whom to write as.

        Raises:
            ConfigurationError: No option and no environment says it, and the operating system has no name either.
        """
        try:
            return self.user or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
        except (KeyError, OSError) as error:
            raise ConfigurationError("It is not known whom to write to HDFS as; set HADOOP_USER_NAME.") from error

    @property
    def file_rights(self) -> dict[str, str]:
        """Parameters of a request that makes a file."""
        return _rights(self.mode, 0o644, 0o666)

    @property
    def directory_rights(self) -> dict[str, str]:
        """Parameters of a request that makes a directory."""
        mode = self.mode
        # Who may read may enter.
        return _rights(None if mode is None else mode | (mode & 0o444) >> 2, 0o755, 0o777)


def _rights(mode: int | None, usual: int, unmasked: int) -> dict[str, str]:
    """Return permission parameters: the second one counts where a default ACL is inherited, as in Hadoop's client."""
    chosen = (usual, unmasked) if mode is None else (mode, mode)
    return {"permission": f"{chosen[0]:o}", "unmaskedpermission": f"{chosen[1]:o}"}
