"""What is in the packages that are handed out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import aiohttp
import pytest

from lmgateway import __version__
from tests.support.process import Process

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel and the source package, built from what is here."""
    folder = tmp_path_factory.mktemp("packages")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(packages: Path) -> Path:
    """The wheel, unpacked as an installation has it."""
    [file] = packages.glob("*.whl")
    folder = packages / "installed"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder


def metadata(wheel: Path) -> Message:
    return Parser().parsestr((wheel / f"lmgateway-{__version__}.dist-info" / "METADATA").read_text())


def files_below(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix() for path in files}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    """Its modules, the dashboard's files, py.typed, the manual that `init` fills in, units; and no tests."""
    beside = {"config.example.toml", *(f"systemd/{name}" for name in files_below(ROOT / "systemd"))}
    beside.remove("systemd/README.md")
    assert files_below(wheel / "lmgateway") == files_below(ROOT / "lmgateway") | beside
    for name in beside:
        assert (wheel / "lmgateway" / name).read_bytes() == (ROOT / name).read_bytes()
    information = f"lmgateway-{__version__}.dist-info"
    assert {path.name for path in wheel.iterdir()} == {"lmgateway", information}
    assert (wheel / information / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_wheel_says_what_it_needs(wheel: Path) -> None:
    """No uvloop on Windows, and none of the tests' packages without the extra."""
    fields = metadata(wheel)
    assert fields["License-Expression"] == "MIT"
    needed = fields.get_all("Requires-Dist", [])
    [uvloop] = [line for line in needed if line.startswith("uvloop")]
    assert "sys_platform != 'win32'" in uvloop
    assert [line for line in needed if line.startswith("pytest") and "extra == " not in line] == []


@pytest.mark.long
async def test_an_installed_wheel_serves_the_dashboard_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """Nothing is looked for beside the source."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "lmgateway", "serve", "--host", "127.0.0.1", "--port", "0"),
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(wheel), "XDG_STATE_HOME": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        port = await Process(process).port()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            for path in ("", "/static/main.js", "/static/vendor/uPlot.iife.min.js"):
                async with client.get(f"/dashboard{path}") as response:
                    assert response.status == 200, path
    finally:
        process.kill()
        await process.communicate()


def test_the_source_package_holds_what_its_tests_and_installs_need(packages: Path) -> None:
    [file] = packages.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    needed = {
        *(".ci/run", ".ci/long", ".ci/prepare", ".ci/lowest.py", ".dockerignore"),
        *("LICENSE", "README.md", "config.example.toml", "pyproject.toml"),
    }
    for folder in ("docs", "lmgateway", "systemd", "tests", "windows"):
        needed |= {f"{folder}/{name}" for name in files_below(ROOT / folder)}
    # What is in its folders are somebody's own settings and secrets.
    needed |= {f"docker/{path.name}" for path in (ROOT / "docker").iterdir() if path.is_file()}
    assert needed - packed == set()
    assert packed - needed == {"PKG-INFO", ".gitignore"}
