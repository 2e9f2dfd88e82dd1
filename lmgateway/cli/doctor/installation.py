"""Checks that the installed Python and packages are those that this version needs."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from .findings import Finding

_CHECK = "installation"
_PACKAGE = "lmgateway"
_SHOWN = ("aiohttp", "lmstudio")


def examine() -> Iterator[Finding]:
    """Compare Python and the packages with the requirements in the gateway's metadata."""
    is_complete = True
    for message, remedy in (*_python(), *_packages()):
        is_complete = False
        yield Finding.problem(_CHECK, message, remedy)
    if is_complete:
        versions = (f"{name} {metadata.version(name)}" for name in _SHOWN)
        about = ", ".join((f"Python {platform.python_version()}", *versions))
        yield Finding.ok(_CHECK, f"lmgateway {metadata.version(_PACKAGE)} with {about}.")


def installed_at() -> datetime | None:
    """Return when the package was installed; None if the installer wrote no RECORD (PEP 376)."""
    files = metadata.distribution(_PACKAGE).files or ()
    record = next((file for file in files if file.name == "RECORD"), None)
    if record is None:
        return None
    return datetime.fromtimestamp(Path(record.locate()).stat().st_mtime, UTC)


def _python() -> Iterator[tuple[str, str]]:
    needed = metadata.metadata(_PACKAGE)["Requires-Python"]
    version = platform.python_version()
    if not SpecifierSet(needed).contains(version, prereleases=True):
        yield (
            f"This is Python {version}; lmgateway needs {needed}.",
            f"Install Python {needed}, and lmgateway with it.",
        )


def _packages() -> Iterator[tuple[str, str]]:
    for text in metadata.requires(_PACKAGE) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        needed = f"{requirement.name}{requirement.specifier}"
        remedy = f"{sys.executable} -m pip install '{needed}'"
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement.name} isn't installed; lmgateway needs {needed}.", remedy
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is installed; lmgateway needs {needed}.", remedy
