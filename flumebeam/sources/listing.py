"""Which files a source has to read, oldest first."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flumebeam.errors import ConfigurationError, StorageError
from flumebeam.sources.options import FileSourceOptions

__all__ = ["list_files"]

_UNFINISHED_SUFFIX: Final = ".tmp"


def list_files(options: FileSourceOptions) -> list[Path]:
    """Return the files there are now, absolute, the one changed longest ago first, then by name.

    Raises:
        ConfigurationError: A directory stands where a file should or the other way round, or nothing is there.
        StorageError: A directory cannot be read.
    """
    try:
        return _list(options)
    except OSError as error:
        raise StorageError(f"{error.filename or options.path} cannot be read ({error.strerror}).") from error


def _list(options: FileSourceOptions) -> list[Path]:
    aged: dict[tuple[int, int], tuple[int, Path]] = {}
    for path in sorted(_candidates(options)):
        try:
            status = path.stat()
        except FileNotFoundError:
            # Gone between listing and looking: somebody took it away, which is his right.
            continue
        # A file with two names, as a link to the current log makes it, is read once.
        aged.setdefault((status.st_dev, status.st_ino), (status.st_mtime_ns, path))
    return [path for _, path in sorted(aged.values())]


def _candidates(options: FileSourceOptions) -> Iterator[Path]:
    path = Path(options.path).absolute()
    if options.spool:
        if not path.is_dir():
            raise ConfigurationError(f"The spool directory {path} does not exist: make it, or correct the path.")
        return (entry for entry in path.iterdir() if _is_ready(entry, options))
    if options.is_pattern:
        # Path.glob takes no absolute pattern.
        found = [Path(name).absolute() for name in glob.glob(options.path, recursive=True)]  # noqa: PTH207
        files = [entry for entry in found if entry.is_file() and not entry.name.endswith(options.completed_suffix)]
        if not files and not any(entry.is_file() for entry in found):
            raise ConfigurationError(f"No file matches {options.path}: correct the pattern.")
        return iter(files)
    if path.is_dir():
        raise ConfigurationError(
            f"{path} is a directory: give it as spool directory, whose files are renamed once they are through, "
            f"or name its files by the pattern {path}/*."
        )
    if not path.exists():
        raise ConfigurationError(f"The file {path} does not exist: correct the path.")
    return iter([path])


def _is_ready(entry: Path, options: FileSourceOptions) -> bool:
    name = entry.name
    return (
        not name.startswith(".")
        and not name.endswith((options.completed_suffix, _UNFINISHED_SUFFIX))
        and entry.is_file()
    )
