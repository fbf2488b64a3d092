"""Options of a target that is an HDFS: who writes, how servers are trusted, what files look like to others."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final

from apache_beam.options.pipeline_options import PipelineOptions

from flumebeam.errors import ConfigurationError
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, TlsOptions, Tokens

__all__ = ["HdfsTargetOptions"]

_DEFAULTS: Final = HdfsOptions()


class HdfsTargetOptions(PipelineOptions):
    """How an HDFS is written to. Beam itself has options that begin with ``hdfs_``; these are others."""

    @classmethod
    def _add_argparse_args(cls, parser: ArgumentParser) -> None:
        parser.add_argument("--target_principal", metavar="NAME", help="log in by Kerberos as name@REALM")
        parser.add_argument(
            "--target_keytab", metavar="FILE", help="key of the principal, on every worker [the ticket cache]"
        )
        parser.add_argument(
            "--target_tokens",
            action="store_true",
            default=False,
            help="get a delegation token by Kerberos, use it and renew it",
        )
        parser.add_argument(
            "--target_token_file",
            metavar="FILE",
            help="a delegation token that others renew [HADOOP_TOKEN_FILE_LOCATION]",
        )
        parser.add_argument("--target_proxy_user", metavar="NAME", help="write on behalf of this user")
        parser.add_argument(
            "--target_ca_file", metavar="FILE", help="authorities to trust under TLS, in PEM form [those of Python]"
        )
        parser.add_argument("--target_certificate", metavar="FILE", help="our own certificate for TLS, with its key")
        parser.add_argument("--target_key", metavar="FILE", help="its key, if it is not in the same file")
        parser.add_argument(
            "--target_mode", metavar="BITS", help="permission bits of new files, such as 640 [644, or a default ACL]"
        )
        parser.add_argument(
            "--target_group", metavar="NAME", help="group of new files and directories [that of the directory above]"
        )
        parser.add_argument("--target_replication", type=int, metavar="N", help="copies of new files [the cluster's]")
        parser.add_argument("--target_block_bytes", type=int, metavar="N", help="size of their blocks [the cluster's]")
        parser.add_argument(
            "--target_read_timeout_seconds",
            type=float,
            default=_DEFAULTS.read_timeout_secs,
            metavar="S",
            help=f"longest wait for an answer [{_DEFAULTS.read_timeout_secs:g}]",
        )

    def hdfs(self) -> HdfsOptions:
        """Return what was given.

        Raises:
            ConfigurationError: A value cannot work.
        """
        kerberos = None
        if self.target_principal or self.target_keytab or self.target_tokens:
            tokens = Tokens.OWN if self.target_tokens else Tokens.NONE
            kerberos = KerberosOptions(principal=self.target_principal, keytab=self.target_keytab, tokens=tokens)
        return HdfsOptions(
            kerberos=kerberos,
            token_file=self.target_token_file,
            proxy_user=self.target_proxy_user,
            tls=TlsOptions(
                ca_file=self.target_ca_file, certificate_file=self.target_certificate, key_file=self.target_key
            ),
            mode=_mode(self.target_mode),
            group=self.target_group,
            replication=self.target_replication,
            block_bytes=self.target_block_bytes,
            read_timeout_secs=self.target_read_timeout_seconds,
        )


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 8)
    except ValueError as error:
        raise ConfigurationError(f"--target_mode must be permission bits such as 640, not {text!r}.") from error
