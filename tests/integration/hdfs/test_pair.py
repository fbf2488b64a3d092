"""Two NameNodes: whoever is in charge, whoever is dead or frozen, the client finds its way."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from flumebeam.errors import StorageUnavailableError
from flumebeam.hdfs.filesystem import RenameOutcome
from flumebeam.hdfs.targets import open_target
from flumebeam.hdfs.webhdfs import WebHdfsFileSystem
from flumebeam.testing.hdfs_ha import HaHdfs
from tests.integration.hdfs.conftest import eventually

Connect = Callable[..., WebHdfsFileSystem]

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(hdfs_pair: HaHdfs) -> Iterator[HaHdfs]:
    """The pair for a test that breaks it: whole again afterwards."""
    yield hdfs_pair
    hdfs_pair.heal()


@pytest.fixture
def fs(pair: HaHdfs, connect: Connect) -> WebHdfsFileSystem:
    """A client of a pair that takes files: a DataNode that was found again is not used at once."""
    made = connect(*pair.webhdfs_urls)
    eventually(lambda attempt: made.write(f"/ready/{uuid.uuid4().hex}-{attempt}", [b"x"]))
    return made


def test_after_a_fail_over_every_call_goes_to_the_other_namenode(
    pair: HaHdfs, fs: WebHdfsFileSystem, root: str
) -> None:
    written = fs.write(f"{root}/a", [b"x"])
    pair.fail_over()

    assert fs.stat(f"{root}/a") == written
    assert fs.rename(f"{root}/a", f"{root}/b") is RenameOutcome.RENAMED
    assert fs.read(f"{root}/b") == b"x"
    assert [entry.name for entry in fs.list(root)] == ["b"]
    fs.make_directory(f"{root}/d")
    assert eventually(lambda attempt: fs.write(f"{root}/c-{attempt}", [b"y"])).length == 1
    assert fs.delete(f"{root}/b") is True


@pytest.mark.failure("NameNode fails over in the middle of a write")
def test_a_fail_over_in_the_middle_of_a_write_loses_nothing(pair: HaHdfs, fs: WebHdfsFileSystem, root: str) -> None:
    started = threading.Event()
    failed_over = threading.Event()

    def chunks() -> Iterator[bytes]:
        for n in range(16):
            if n == 4:
                started.set()
                failed_over.wait(60)
            yield bytes([n]) * 300_000

    def fail_over() -> None:
        started.wait(60)
        pair.fail_over()
        failed_over.set()

    helper = threading.Thread(target=fail_over)
    helper.start()
    written = eventually(lambda attempt: fs.write(f"{root}/a-{attempt}", chunks()))
    helper.join()

    assert written.length == 16 * 300_000
    assert fs.read(f"{root}/{written.name}") == b"".join(bytes([n]) * 300_000 for n in range(16))


def test_a_namenode_that_died_is_replaced_and_the_files_are_there(
    pair: HaHdfs, fs: WebHdfsFileSystem, root: str
) -> None:
    active = pair.active
    assert active is not None
    fs.write(f"{root}/a", [b"x"])
    pair.namenodes[active].kill()
    with pytest.raises(StorageUnavailableError, match=r"not in charge|refuses connections"):
        fs.rename(f"{root}/a", f"{root}/b")

    pair.take_charge(1 - active)

    assert eventually(lambda _: fs.rename(f"{root}/a", f"{root}/b")) is RenameOutcome.RENAMED
    assert eventually(lambda attempt: fs.write(f"{root}/c-{attempt}", [b"y"])).length == 1


def test_a_frozen_namenode_costs_one_timeout_and_no_more(pair: HaHdfs, connect: Connect, root: str) -> None:
    active = pair.active
    assert active is not None
    fs = connect(pair.webhdfs_urls[active], pair.webhdfs_urls[1 - active], read_timeout_secs=4)
    eventually(lambda _: fs.make_directory(root))
    pair.namenodes[active].freeze()
    pair.take_charge(1 - active)

    with pytest.raises(StorageUnavailableError, match="does not answer in time"):
        fs.rename(root, f"{root}-moved")
    told: list[str] = []

    def move(_: int) -> RenameOutcome:
        try:
            return fs.rename(root, f"{root}-moved")
        except StorageUnavailableError as error:
            told.append(str(error))
            raise

    assert eventually(move) is RenameOutcome.RENAMED
    assert fs.stat(f"{root}-moved") is not None
    frozen = pair.webhdfs_urls[active].removeprefix("http://")
    assert not any(f"{frozen} does not answer in time" in each for each in told)


def test_a_nameservice_is_found_by_the_configuration_of_the_cluster(
    pair: HaHdfs, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HADOOP_CONF_DIR", str(pair.configuration))
    target = open_target(f"hdfs://ns1{root}")

    assert eventually(lambda attempt: target.filesystem.write(f"{root}/a-{attempt}", [b"x"])).length == 1
    target.filesystem.close()
