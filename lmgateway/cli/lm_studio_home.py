"""LM Studio's own folder on this machine: where it is, and what it says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

# LM Studio's search for its folder: lmstudio-js, `findLMStudioHome.ts`.
_POINTER = ".lmstudio-home-pointer"
_OLDER_HOME = Path(".cache/lm-studio")
_HOME = Path(".lmstudio")
_SETTINGS = Path(".internal/http-server-config.json")
_LOGS = "server-logs"
_MOST_BYTES = 64 * 1024


class ServerSettings(Struct, frozen=True):
    """What LM Studio remembers of its HTTP server. None is unknown.

    `network_interface` is the address that it listens on, 0.0.0.0 with "Serve on Local Network".
    """

    port: int | None = None
    network_interface: str | None = None


def user_home() -> Path:
    """Return the home of this process's user; for one who has none, as in a container, a missing folder."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no entry in /etc/passwd
        return Path("/nonexistent")


def find(user_home: Path) -> Path:
    """Return the folder that LM Studio uses for this user, whether it exists or not."""
    return next(_candidates(user_home))


def server_settings(user_home: Path) -> Iterator[ServerSettings]:
    """Yield the settings that exist: those of LM Studio's folder, then those that older versions left."""
    for folder in dict.fromkeys(_candidates(user_home)):
        if (settings := _settings(folder)) is not None:
            yield settings


def log_folder(user_home: Path) -> Path | None:
    """Return LM Studio's folder of server logs, None if there is none."""
    folder = find(user_home) / _LOGS
    return folder if os.path.isdir(folder) else None  # noqa: PTH112 - Path.is_dir() may raise PermissionError


def _candidates(user_home: Path) -> Iterator[Path]:
    pointed = _read(user_home / _POINTER).decode(errors="replace").strip()
    if pointed:
        yield user_home / pointed
    for folder in (_OLDER_HOME, _HOME):
        if os.path.isdir(user_home / folder):  # noqa: PTH112 - as above
            yield user_home / folder
    yield user_home / _HOME


def _settings(folder: Path) -> ServerSettings | None:
    try:
        settings = json.loads(_read(folder / _SETTINGS))
    except (ValueError, RecursionError):
        return None
    if not isinstance(settings, dict):
        return None
    port, interface = settings.get("port"), settings.get("networkInterface")
    return ServerSettings(
        port if type(port) is int and 0 < port < 65536 else None,
        interface if isinstance(interface, str) else None,
    )


def _read(path: Path) -> bytes:
    """Return the file's beginning, b"" if it can't be read. It is LM Studio's, so that isn't reported."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except (OSError, ValueError):
        return b""
