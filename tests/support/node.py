"""npm packages, for tests of clients that run on Node.js."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
MANIFEST = TESTS / "package.json"
CACHE = TESTS.parent / "node_modules"
INSTALL_SECONDS = 300


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The installed packages' folder: `NODE_PATH` of a test's script, with commands in `.bin`.

    A test that may install them needs `pytest.mark.timeout(INSTALL_SECONDS)`.
    """
    return installed(MANIFEST)


def installed(manifest_path: Path) -> Path:
    """Return the folder `node_modules` with the packages of a package.json.

    Skips the test without Node.js or a registry. Each content of package.json is installed once, and used by
    later sessions too.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm aren't installed")
    manifest = manifest_path.read_bytes()
    folder = CACHE / f"tests-{hashlib.sha256(manifest).hexdigest()[:16]}"
    if not folder.exists():
        _install(npm, manifest, folder)
    return folder / "node_modules"


def _install(npm: str, manifest: bytes, folder: Path) -> None:
    """Install in a folder of this process, then rename it: workers of pytest-xdist may do this at once."""
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="installing-") as temporary:
        unfinished = Path(temporary) / "packages"
        unfinished.mkdir()
        (unfinished / MANIFEST.name).write_bytes(manifest)
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        try:
            subprocess.run(command, cwd=unfinished, check=True, capture_output=True, timeout=INSTALL_SECONDS)
        except subprocess.CalledProcessError as exc:
            pytest.skip(f"npm can't install the packages of {MANIFEST.name}: {exc.stderr.decode().strip()}")
        except subprocess.TimeoutExpired as exc:
            pytest.skip(f"npm can't install the packages of {MANIFEST.name}: {exc}")
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():
                raise
