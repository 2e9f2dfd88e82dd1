"""Whether what is installed is what this version needs."""

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
    """Compare this Python and the packages with what the gateway's own metadata asks for."""
    is_complete = True
    for message, remedy in (*_python(), *_packages()):
        is_complete = False
        yield Finding.problem(_CHECK, message, remedy)
    if is_complete:
        versions = (f"{name} {metadata.version(name)}" for name in _SHOWN)
        about = ", ".join((f"Python {platform.python_version()}", *versions))
        yield Finding.ok(_CHECK, f"lmgateway {metadata.version(_PACKAGE)} with {about}.")


def installed_at() -> datetime | None:
    """Return when the package was installed, if its installer left a record of it (PEP 376)."""
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
            f"Python {version} runs this; lmgateway needs {needed}.",
            "Install lmgateway with such a Python.",
        )


def _packages() -> Iterator[tuple[str, str]]:
    for text in metadata.requires(_PACKAGE) or ():
        needed = Requirement(text)
        if needed.marker is not None and not needed.marker.evaluate({"extra": ""}):
            continue
        wanted = f"{needed.name}{needed.specifier}"
        remedy = f"{sys.executable} -m pip install '{wanted}'"
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            yield f"{needed.name} isn't installed; lmgateway needs {wanted}.", remedy
            continue
        if not needed.specifier.contains(version, prereleases=True):
            yield f"{needed.name} {version} is installed; lmgateway needs {wanted}.", remedy
