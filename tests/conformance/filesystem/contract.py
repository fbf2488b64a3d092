"""What every file system that flumebeam writes to must keep; each implementation runs this suite on itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flumebeam.errors import StorageConflictError, StorageError, StorageMissingError
from flumebeam.hdfs.filesystem import FileKind, FileSystem, RenameOutcome


class FileSystemContract:
    """Subclasses give the fixtures ``fs`` (a file system) and ``root`` (a directory of this test's own, there)."""

    def test_a_written_file_is_there_whole(self, fs: FileSystem, root: str) -> None:
        written = fs.write(f"{root}/a", [b"one", b"", b"two"])

        assert (written.name, written.kind, written.length) == ("a", FileKind.FILE, 6)
        assert fs.stat(f"{root}/a") == written
        assert fs.read(f"{root}/a") == b"onetwo"

    def test_an_empty_file_can_be_written(self, fs: FileSystem, root: str) -> None:
        assert fs.write(f"{root}/a", []).length == 0
        assert fs.read(f"{root}/a") == b""

    def test_a_large_file_in_many_chunks_is_there_whole(self, fs: FileSystem, root: str) -> None:
        chunks = [bytes([n]) * 70_001 for n in range(64)]

        assert fs.write(f"{root}/a", iter(chunks)).length == 64 * 70_001
        assert fs.read(f"{root}/a") == b"".join(chunks)

    def test_write_never_overwrites(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [b"first"])

        with pytest.raises(StorageConflictError, match="/a"):
            fs.write(f"{root}/a", [b"second"])

        assert fs.read(f"{root}/a") == b"first"

    def test_nothing_is_none_and_not_an_error(self, fs: FileSystem, root: str) -> None:
        assert fs.stat(f"{root}/nothing") is None
        assert fs.stat(f"{root}/nothing/below") is None
        assert fs.read(f"{root}/nothing") is None
        assert fs.list(f"{root}/nothing") == []
        assert fs.delete(f"{root}/nothing") is False

    def test_list_gives_entries_sorted_by_name(self, fs: FileSystem, root: str) -> None:
        for name in ("b", "_c", "a"):
            fs.write(f"{root}/{name}", [name.encode() * 3])
        fs.make_directory(f"{root}/d/e")

        entries = fs.list(root)

        assert [entry.name for entry in entries] == ["_c", "a", "b", "d"]
        assert [entry.kind for entry in entries] == [*[FileKind.FILE] * 3, FileKind.DIRECTORY]
        assert entries[0] == fs.stat(f"{root}/_c")

    def test_listing_a_file_is_a_conflict(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [])

        with pytest.raises(StorageConflictError, match="/a"):
            fs.list(f"{root}/a")

    def test_a_directory_with_one_entry_is_listed(self, fs: FileSystem, root: str) -> None:
        fs.make_directory(f"{root}/d")
        fs.write(f"{root}/d/only", [])

        assert [entry.name for entry in fs.list(f"{root}/d")] == ["only"]

    def test_making_a_directory_twice_is_no_error(self, fs: FileSystem, root: str) -> None:
        fs.make_directory(f"{root}/d/e")
        fs.make_directory(f"{root}/d/e")

        found = fs.stat(f"{root}/d/e")
        assert found is not None
        assert found.kind is FileKind.DIRECTORY

    @pytest.mark.parametrize("path", ["f", "f/below", "f/below/deep"])
    def test_a_file_in_the_way_of_a_directory_is_a_conflict(self, fs: FileSystem, root: str, path: str) -> None:
        fs.write(f"{root}/f", [b"mine"])

        with pytest.raises(StorageConflictError):
            fs.make_directory(f"{root}/{path}")

        assert fs.read(f"{root}/f") == b"mine"

    def test_rename_keeps_the_identity_of_a_file(self, fs: FileSystem, root: str) -> None:
        written = fs.write(f"{root}/a", [b"x"])
        other = fs.write(f"{root}/b", [b"x"])
        fs.make_directory(f"{root}/d")

        assert fs.rename(f"{root}/a", f"{root}/d/moved") is RenameOutcome.RENAMED

        moved = fs.stat(f"{root}/d/moved")
        assert moved is not None
        assert moved.file_id == written.file_id != other.file_id
        assert fs.stat(f"{root}/a") is None

    def test_rename_never_overwrites(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [b"a"])
        fs.write(f"{root}/b", [b"b"])

        assert fs.rename(f"{root}/a", f"{root}/b") is RenameOutcome.TARGET_EXISTS
        assert (fs.read(f"{root}/a"), fs.read(f"{root}/b")) == (b"a", b"b")

    @pytest.mark.parametrize("full", [False, True])
    def test_rename_never_moves_into_a_directory(self, fs: FileSystem, root: str, full: bool) -> None:
        fs.write(f"{root}/a", [b"a"])
        fs.make_directory(f"{root}/d/e" if full else f"{root}/d")

        assert fs.rename(f"{root}/a", f"{root}/d") is RenameOutcome.TARGET_EXISTS
        assert fs.read(f"{root}/a") == b"a"

    def test_rename_says_what_is_missing(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [b"a"])

        assert fs.rename(f"{root}/nothing", f"{root}/b") is RenameOutcome.SOURCE_MISSING
        assert fs.rename(f"{root}/a", f"{root}/nowhere/b") is RenameOutcome.PARENT_MISSING
        assert fs.rename(f"{root}/nothing", f"{root}/a") is RenameOutcome.SOURCE_MISSING

    def test_a_target_below_a_file_is_a_missing_parent(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [b"a"])
        fs.write(f"{root}/f", [b"f"])

        assert fs.rename(f"{root}/a", f"{root}/f/b") is RenameOutcome.PARENT_MISSING

    def test_a_directory_is_renamed_with_all_it_holds(self, fs: FileSystem, root: str) -> None:
        fs.make_directory(f"{root}/d")
        fs.write(f"{root}/d/a", [b"a"])

        assert fs.rename(f"{root}/d", f"{root}/e") is RenameOutcome.RENAMED

        assert fs.read(f"{root}/e/a") == b"a"
        assert fs.list(f"{root}/d") == []

    def test_a_renamed_directory_lets_nobody_in_by_its_old_name(self, fs: FileSystem, root: str) -> None:
        fs.make_directory(f"{root}/epoch")
        fs.write(f"{root}/record", [b"r"])
        fs.rename(f"{root}/epoch", f"{root}/closed")

        assert fs.rename(f"{root}/record", f"{root}/epoch/record") is RenameOutcome.PARENT_MISSING
        assert fs.list(f"{root}/closed") == []

    def test_one_of_many_renames_to_one_name_wins(self, fs: FileSystem, root: str) -> None:
        for n in range(8):
            fs.write(f"{root}/{n}", [bytes([n])])

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(lambda n: fs.rename(f"{root}/{n}", f"{root}/target"), range(8)))

        assert outcomes.count(RenameOutcome.RENAMED) == 1
        assert outcomes.count(RenameOutcome.TARGET_EXISTS) == 7
        assert fs.read(f"{root}/target") == bytes([outcomes.index(RenameOutcome.RENAMED)])

    def test_what_entered_before_a_directory_was_renamed_is_seen_and_nothing_enters_after(
        self, fs: FileSystem, root: str
    ) -> None:
        fs.make_directory(f"{root}/epoch")
        for n in range(24):
            fs.write(f"{root}/{n}", [])
        started = threading.Semaphore(0)

        def enter(n: int) -> RenameOutcome:
            started.release()
            return fs.rename(f"{root}/{n}", f"{root}/epoch/{n}")

        with ThreadPoolExecutor(4) as pool:
            entering = [pool.submit(enter, n) for n in range(24)]
            for _ in range(12):
                started.acquire()
            assert fs.rename(f"{root}/epoch", f"{root}/closed") is RenameOutcome.RENAMED
            seen = {entry.name for entry in fs.list(f"{root}/closed")}
            outcomes = [future.result() for future in entering]

        assert set(outcomes) <= {RenameOutcome.RENAMED, RenameOutcome.PARENT_MISSING}
        assert seen == {str(n) for n, outcome in enumerate(outcomes) if outcome is RenameOutcome.RENAMED}

    def test_delete_removes_files_and_whole_directories(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/a", [])
        fs.make_directory(f"{root}/d/e")
        fs.write(f"{root}/d/e/f", [])

        assert fs.delete(f"{root}/a") is True
        assert fs.delete(f"{root}/d") is True
        assert fs.list(root) == []

    @pytest.mark.parametrize("name", ["with space", "a%20b", "a+b", "a;b", "a#LATEST", "a?b", "ü", "a&b=c"])
    def test_a_name_is_taken_as_it_is(self, fs: FileSystem, root: str, name: str) -> None:
        fs.write(f"{root}/x", [b"x"])

        assert fs.rename(f"{root}/x", f"{root}/{name}") is RenameOutcome.RENAMED
        assert [entry.name for entry in fs.list(root)] == [name]
        assert fs.read(f"{root}/{name}") == b"x"

    def test_writing_below_a_file_is_an_error(self, fs: FileSystem, root: str) -> None:
        fs.write(f"{root}/f", [b"f"])

        with pytest.raises(StorageError):
            fs.write(f"{root}/f/a", [b"a"])

    def test_a_file_is_read_in_pieces(self, fs: FileSystem, root: str) -> None:
        content = b"".join(bytes([n]) * 70_001 for n in range(64))
        fs.write(f"{root}/a", [content])
        fs.write(f"{root}/empty", [])

        pieces = [*fs.read_chunks(f"{root}/a")]

        assert b"".join(pieces) == content
        assert all(pieces)
        assert [*fs.read_chunks(f"{root}/empty")] == []

    def test_reading_pieces_of_nothing_is_told(self, fs: FileSystem, root: str) -> None:
        with pytest.raises(StorageMissingError, match="/a"):
            next(fs.read_chunks(f"{root}/a"))

    def test_files_are_joined_whole_or_not_at_all(self, fs: FileSystem, root: str) -> None:
        files = [fs.write(f"{root}/_{name}", [name.encode() * 70_000]) for name in "abc"]

        if fs.concat(f"{root}/_a", [f"{root}/_b", f"{root}/_c"]):
            [joined] = fs.list(root)
            assert (joined.file_id, joined.length) == (files[0].file_id, 210_000)
            assert fs.read(f"{root}/_a") == b"".join(name.encode() * 70_000 for name in "abc")
        else:
            assert fs.list(root) == files

    def test_joining_with_a_file_that_is_missing_changes_nothing(self, fs: FileSystem, root: str) -> None:
        files = [fs.write(f"{root}/_{name}", [b"x"]) for name in "ab"]

        assert fs.concat(f"{root}/_a", [f"{root}/_b", f"{root}/_c"]) is False
        assert fs.concat(f"{root}/_c", [f"{root}/_a"]) is False

        assert fs.list(root) == files

    def test_what_is_written_when_the_chunks_fail_is_no_success(self, fs: FileSystem, root: str) -> None:
        def chunks():  # noqa: ANN202
            yield b"some"
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fs.write(f"{root}/a", chunks())

    def test_close_twice_is_no_error(self, fs: FileSystem) -> None:
        fs.close()
        fs.close()
