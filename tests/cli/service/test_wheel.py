"""`lmgateway service` of an installed wheel, which copies its program."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from lmgateway.cli.service.places import Places, of_machine, of_user
from tests.cli.service.conftest import Machine

ROOT = Path(__file__).parents[3]
COMMAND = "bin/lmgateway"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are those of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    return environment


async def run(program: Path, *arguments: str, machine: Machine) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        cwd=machine.folder,
        env=machine.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_a_wheel_installs_a_service_that_needs_nothing_of_it(fresh: Path, machine: Machine) -> None:
    """The unit files, the program and what it needs are the service's own."""
    install = ("service", "install", "--root", str(machine.root))
    places = machine.system
    status, output = await run(fresh / COMMAND, *install, "--dry-run", machine=machine)
    assert status == 0, output
    assert f"from {fresh} to {places.program}" in output
    assert f"Would write {places.unit_folder / 'lmgateway.service'}" in output
    assert machine.files() == set()
    status, output = await run(fresh / COMMAND, *install, machine=machine)
    assert status == 0, output
    for name, source in places.units.items():
        assert (places.unit_folder / name).read_text() == (ROOT / source).read_text()
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(places.program)}))
    # What only the development needs isn't copied, nor what is outside.
    found = {path.name for path in packages.iterdir()}
    assert {"lmgateway", "aiohttp", "msgspec", "lmstudio", "yarl"} <= found
    assert found & {"pytest", "mypy", "dependencies.pth", "_lmgateway.pth"} == set()
    asked = "import lmgateway, aiohttp; print(lmgateway.__file__, aiohttp.__file__)"
    status, answer = await run(places.program / "bin/python", "-I", "-c", asked, machine=machine)
    assert status == 0, answer
    assert all(path.startswith(str(packages)) for path in answer.split())
    assert list((packages / "lmgateway/__pycache__").glob("*.pyc"))
    # The copy updates itself: it has the unit files, and finds itself in place.
    status, output = await run(places.program / COMMAND, *install, machine=machine)
    assert status == 0, output
    assert "copy the program" not in output.lower()
    # And is replaced by a newer one.
    (packages / "lmgateway/old.py").touch()
    status, output = await run(fresh / COMMAND, *install, machine=machine)
    assert status == 0, output
    assert not (packages / "lmgateway/old.py").exists()
    assert [path.name for path in places.program.parent.iterdir()] == ["lmgateway"]


@pytest.mark.parametrize("places", [of_machine(), of_user()], ids=["machine", "user"])
def test_the_unit_starts_the_copy(places: Places) -> None:
    """Its path is in the unit and in the code."""
    command = str(places.program / "bin/lmgateway").replace(str(Path.home()), "%h")
    unit = ROOT / places.units["lmgateway.service"]
    assert f"ExecStart={command} serve" in unit.read_text().splitlines()
