"""``flumebeam commits``: what stands in the commit logs of a target, and the repair of what was left behind."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from flumebeam.clock import SystemClock
from flumebeam.commitlog.driver import Driver
from flumebeam.commitlog.survey import LogView, Surveyor
from flumebeam.commitlog.waiting import PartitionWait, WaitingPartition
from flumebeam.errors import ConfigurationError
from flumebeam.exits import Exit
from flumebeam.hdfs.options import HdfsOptions, KerberosOptions, TlsOptions
from flumebeam.hdfs.targets import open_target

__all__ = ["app"]

app = typer.Typer(
    help="What is committed, published, or stuck in a target; asks no broker.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_PATIENCE_SECS: Final = 20.0

_Target = Annotated[str, typer.Argument(help="The target, as a pipeline's --target names it.")]
_Queue = Annotated[str, typer.Option(metavar="TEXT", help="Only logs whose name begins so, such as a queue's name.")]
_Principal = Annotated[str | None, typer.Option(metavar="NAME", help="Log in by Kerberos as name@REALM.")]
_Keytab = Annotated[str | None, typer.Option(metavar="FILE", help="Key of the principal. [the ticket cache]")]
_CaFile = Annotated[str | None, typer.Option(metavar="FILE", help="Authorities to trust under TLS.")]
_Patience = Annotated[float, typer.Option(help="Seconds for which a target that does not answer is tried again.")]


@app.command()
def show(
    target: _Target,
    queue: _Queue = "",
    older_than: Annotated[
        float, typer.Option(help="Seconds after which a committed file without its final name counts as stuck.")
    ] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one line for each log.")] = False,
    principal: _Principal = None,
    keytab: _Keytab = None,
    ca_file: _CaFile = None,
    patience: _Patience = _PATIENCE_SECS,
) -> None:
    """Show each log, and what partitions wait for; the exit status is 0 if nothing is stuck, else 1."""
    stuck = False
    with _surveyor(target, principal, keytab, ca_file, patience) as surveyor:
        names = _chosen(surveyor, target, queue)
        partitions = surveyor.partitions()
        for name in names:
            view = surveyor.look(name)
            stuck = stuck or (view.lag_seconds or 0) > older_than
            own = [partition for partition in partitions if name in partition.logs]
            typer.echo(_as_json(view, own) if as_json else _as_text(view, own))
    sys.exit(Exit.FAILED if stuck else Exit.OK)


@app.command()
def repair(
    target: _Target,
    queue: _Queue = "",
    close: Annotated[
        bool,
        typer.Option(
            "--close",
            help="Also close the epochs of writers that are gone, and remove what they were writing. "
            "One that is not, starts anew.",
        ),
    ] = False,
    principal: _Principal = None,
    keytab: _Keytab = None,
    ca_file: _CaFile = None,
    patience: _Patience = _PATIENCE_SECS,
) -> None:
    """Publish what is committed, and remove what belongs to nobody. Safe while writers work; 1 if something is left."""
    failed = False
    with _surveyor(target, principal, keytab, ca_file, patience) as surveyor:
        for name in _chosen(surveyor, target, queue):
            before = surveyor.look(name)
            failures = surveyor.repair(name, close=close)
            after = surveyor.look(name)
            done = len(before.stuck) - len(after.stuck)
            typer.echo(f"{name}: {done} files published, {len(after.stuck)} left")
            for failure in failures:
                typer.echo(f"  {failure}")
            failed = failed or bool(failures)
    sys.exit(Exit.FAILED if failed else Exit.OK)


@contextlib.contextmanager
def _surveyor(
    target: str, principal: str | None, keytab: str | None, ca_file: str | None, patience: float
) -> Iterator[Surveyor]:
    kerberos = KerberosOptions(principal=principal, keytab=keytab) if principal or keytab else None
    place = open_target(target, options=HdfsOptions(kerberos=kerberos, tls=TlsOptions(ca_file=ca_file)))
    clock = SystemClock()
    driver = Driver(place.filesystem, clock=clock, patience=patience)
    try:
        yield Surveyor(driver, place.root, clock)
    finally:
        driver.close()
        place.filesystem.close()


def _chosen(surveyor: Surveyor, target: str, queue: str) -> list[str]:
    names = [name for name in surveyor.logs() if name.startswith(queue)]
    if not names:
        raise ConfigurationError(
            f"There is no commit log{f' of a queue {queue}' if queue else ''} below {target}; "
            "name the directory that a pipeline's --target named."
        )
    return names


def _as_json(view: LogView, partitions: Sequence[WaitingPartition]) -> str:
    more = {
        "partitions": [asdict(partition) for partition in partitions],
        "lag_seconds": view.lag_seconds,
        "oldest_unacknowledged_ms": view.oldest_unacknowledged_ms,
        "last_commit_ms": view.last_commit_ms,
    }
    return json.dumps({**asdict(view), **more})


def _as_text(view: LogView, partitions: Sequence[WaitingPartition]) -> str:
    rows = [view.name]
    for epoch in view.epochs:
        state = "open" if epoch.is_open else "closed, to be settled"
        rows.append(
            f"  epoch {epoch.name}: {state}, {epoch.ids} events committed, {epoch.unpublished} of "
            f"{epoch.transactions} records not yet published, {epoch.parts} parts, "
            f"{epoch.segments} segments not yet in files"
        )
    rows += [
        f"  last commit: {_moment(view.last_commit_ms)}",
        f"  oldest record without a proven acknowledgement: {_moment(view.oldest_unacknowledged_ms)}",
        f"  kept to recognise what comes again: {view.kept_ids} ids, {view.unproven_ids} not proven",
    ]
    if view.orphans:
        rows.append(f"  parts of {view.orphans} epochs that are gone; a repair, or the next writer, removes them")
    if view.lag_seconds is not None:
        rows.append(
            f"  committed and without a final name: {len(view.stuck)} files, for up to {view.lag_seconds:.0f} s"
        )
    rows += (f"    {one.final} ({one.events} events): {one.why}" for one in view.stuck)
    if partitions:
        rows.append(f"  partitions that wait to be complete: {len(partitions)}")
    for partition in partitions:
        again = ", complete before, for files that came late" if partition.late else ""
        rows.append(f"    {partition.path} (ends {_moment(partition.end_ms)}{again}) waits for")
        rows += (f"      {reason}" for wait in partition.waits for reason in _reasons(partition, wait))
        if not partition.waits:
            rows.append("      its success file and its hook: a drain that runs writes the one and calls the other")
    return "\n".join(rows)


def _reasons(partition: WaitingPartition, wait: PartitionWait) -> Iterator[str]:
    """Say what a partition waits for, one reason a line."""
    if not wait.epoch:
        yield f"{wait.log}: no drain of that queue runs; start it, or say --success_file no more"
    if wait.watermark_ms is not None:
        yield (
            f"{wait.log}, epoch {wait.epoch}: its watermark is {_moment(wait.watermark_ms)}, and must reach "
            f"{_moment(partition.end_ms + partition.delay_ms)}"
        )
    if wait.files:
        yield f"{wait.log}, epoch {wait.epoch}: {wait.events} events in {wait.files} parts are not in final files"
    elif wait.unpublished:
        yield f"{wait.log}, epoch {wait.epoch}: has not said that all it wrote there is in final files"


def _moment(ms: int | None) -> str:
    return "none" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
