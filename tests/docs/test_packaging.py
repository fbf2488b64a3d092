"""An installed wheel holds the real modules and works outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built from a copy so that no ``build/`` of earlier days gets in."""
    copy = tmp_path_factory.mktemp("source") / "flumebeam"
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, copy / name
        if not os.path.lexists(source):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
    out = tmp_path_factory.mktemp("dist")
    for build in ("build_sdist", "build_wheel"):
        subprocess.run(
            [sys.executable, "-c", f"from setuptools.build_meta import *; {build}({str(out)!r})"],
            cwd=copy,
            capture_output=True,
            check=True,
        )
    return out


def tracked_modules() -> set[str]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name for name in listed.stdout.split() if name.split("/")[0] in {"flumebeam", "transforms", "pipelines"}}
    return {name if name.startswith("flumebeam/") else f"flumebeam/{name}" for name in modules}


def test_wheel_and_sdist_hold_every_module_under_flumebeam(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    with tarfile.open(sdist) as archive:
        in_sdist = {re.sub(r"^[^/]+/", "", name) for name in archive.getnames() if name.endswith(".py")}

    assert in_wheel == tracked_modules()
    assert "flumebeam/transforms/yaml_providers.yaml" in zipfile.ZipFile(wheel).namelist()
    assert tracked_modules() <= in_sdist


def test_an_installed_wheel_works_outside_the_checkout(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    program = (
        "import flumebeam, flumebeam.transforms, flumebeam.pipelines, flumebeam.cli.main;"
        "print(flumebeam.__file__, flumebeam.transforms.__file__, flumebeam.pipelines.__file__)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    assert all(Path(name).is_relative_to(site) for name in run.stdout.split())
