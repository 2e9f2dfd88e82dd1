"""The service's own copy of the program, so that the folder in which it was installed may change or go."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .. import shipped
from ..failures import EX_CANTCREAT, EX_UNAVAILABLE
from ..manual import NAME as MANUAL
from .places import Places, of_machine, of_user
from .steps import ServiceFailed, Step

_PACKAGE = "lmgateway"
# As `pip install` writes it for the entry point. -I: it imports nothing from the environment.
_SCRIPT = "#!{python} -I\nimport sys\n\nfrom lmgateway.cli import main\n\nsys.exit(main())\n"


def is_the_copy(places: Places) -> bool:
    """True if this process runs the service's own copy."""
    return Path(sys.prefix).resolve() == places.program.resolve()


def check(places: Places) -> None:
    """Raises ServiceFailed if the program can't be copied there."""
    base = Path(sys.base_prefix).resolve()
    if any(base.is_relative_to(folder) for folder in places.closed):
        raise ServiceFailed(
            f"This Python is in {base}, a home folder, which the machine's service may not read. Install "
            "lmgateway with the system's Python (python3 -m venv), or the service for one user: --user.",
            EX_UNAVAILABLE,
        )
    if places.program.exists() and not _is_installation(places.program):
        raise ServiceFailed(
            f"{places.program} isn't an installation of lmgateway. Move it away: the service's program goes "
            "there.",
            EX_CANTCREAT,
        )
    for name, found in _distributions().items():
        if found.files is None:
            raise ServiceFailed(
                f"The package {name} has no list of its files, so it can't be copied. Install lmgateway with "
                "pip in an environment of its own: python3 -m venv .venv && .venv/bin/pip install .",
                EX_UNAVAILABLE,
            )


def copying(places: Places) -> Iterator[Step]:
    if not is_the_copy(places):
        text = (
            f"copy the program, lmgateway {metadata.version(_PACKAGE)}, from {sys.prefix} to {places.program}"
        )
        yield Step(text, lambda: _copy(places.program))


def removing(places: Places) -> Iterator[Step]:
    if places.program.is_dir() and _is_installation(places.program) and not is_the_copy(places):
        yield Step(f"remove the program in {places.program}", lambda: shutil.rmtree(places.program))


def command() -> str:
    """Return how this process was called, for a command line of another user, whose PATH may differ."""
    called = Path(shutil.which(sys.argv[0]) or sys.argv[0])
    return str(called.absolute()) if called.name == _PACKAGE else f"{sys.executable} -m {_PACKAGE}"


def _is_installation(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").is_file() and (folder / "bin" / _PACKAGE).is_file()


def _copy(target: Path) -> None:
    """Put the copy in place once it is complete."""
    fresh, previous = (target.with_name(f"{target.name}.{end}") for end in ("new", "old"))
    for folder in (fresh, previous):
        shutil.rmtree(folder, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    venv.EnvBuilder(symlinks=True).create(fresh)
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(fresh)}))
    for distribution in _distributions().values():
        _copy_files(distribution, packages)
    _copy_package(packages)
    # The service may not write into its program, and would compile it at each start.
    compileall.compile_dir(str(packages), quiet=2)
    script = fresh / "bin" / _PACKAGE
    script.write_text(_SCRIPT.format(python=target / "bin/python"))
    script.chmod(0o755)
    if target.exists():
        target.rename(previous)
    fresh.rename(target)
    shutil.rmtree(previous, ignore_errors=True)


def _distributions() -> dict[str, metadata.Distribution]:
    """Return the installed package and what it needs, by name."""
    found: dict[str, metadata.Distribution] = {}
    waiting = [(_PACKAGE, frozenset[str]())]
    seen = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        found[name] = metadata.distribution(name)
        for text in found[name].requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append((canonicalize_name(needed.name), frozenset(needed.extras)))
    return found


def _copy_files(distribution: metadata.Distribution, packages: Path) -> None:
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        # Scripts and manual pages are outside the folder of packages. The .pth of an editable installation
        # leads to the folder that the service is to be independent of.
        if ".." in file.parts or file.suffix == ".pth" or not source.is_file():
            continue
        _copy_file(source, packages / file)


def _copy_package(packages: Path) -> None:
    """Copy the package itself from where it was imported, which in an editable installation is a clone."""
    package = Path(__file__).parents[2]
    for source in package.rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            _copy_file(source, packages / _PACKAGE / source.relative_to(package))
    for name in (MANUAL, *of_machine().units.values(), *of_user().units.values()):
        _copy_file(shipped.path(name), packages / _PACKAGE / name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy the content and its time, by which Python recognizes what it has compiled, but not the mode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    status = source.stat()
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
