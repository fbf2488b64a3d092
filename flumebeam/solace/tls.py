"""What is checked of a broker's certificate."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TlsOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Which brokers are believed to be who they say, over TLS.

    Attributes:
        trust_store: Authorities that a broker's certificate may come from, in PEM form: a directory of files, or one
            file with any number of certificates. Empty for those of the system.
        verify_certificate: Whether the certificate is checked at all. Without it anybody can be the broker.
        verify_host_name: Whether the certificate must be for the host that was asked for.
    """

    trust_store: str = ""
    verify_certificate: bool = True
    verify_host_name: bool = True
