"""What to do on a machine without systemd."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from .. import machine
from ..failures import EX_UNAVAILABLE
from . import program, systemd
from .steps import ServiceFailed

_WINDOWS = (
    "On Windows, scripts install the service. In a PowerShell started as administrator, in a copy of the "
    r"project's folder: powershell -ExecutionPolicy Bypass -File windows\install-service.ps1 -WinSW PATH "
    "-Config {config} (windows/README.md explains it; uninstall-service.ps1 removes the service)."
)
_MACOS = (
    "macOS starts services with launchd, for which this command writes nothing. Make a LaunchAgent with the "
    "program arguments: {serve}"
)
_CONTAINER = (
    "This is a container without systemd. Its manager starts and restarts it: with Docker, `restart: "
    "unless-stopped`, as in docker/compose.yaml, and the command: {serve}"
)
_WSL = (
    "systemd doesn't run in this WSL. Write systemd=true below [boot] in /etc/wsl.conf, and run "
    "`wsl --shutdown` on Windows."
)
_LINUX = (
    "systemd isn't this machine's service manager. Let the one that is run this, and restart it if it fails: "
    "{serve}"
)

_MANAGERS = {
    "win32": "On Windows, `sc.exe query lmgateway` shows the service that install-service.ps1 has "
    "installed, and uninstall-service.ps1 removes it.",
    "darwin": "On macOS, `launchctl list` shows the LaunchAgents, and `launchctl unload FILE` ends one.",
}


def has_systemd(root: Path) -> bool:
    return sys.platform == "linux" and systemd.is_running(root)


def remark() -> str:
    """Return what there is in place of systemd, for the commands that install nothing."""
    return _MANAGERS.get(sys.platform, "systemd isn't this machine's service manager, so it doesn't run.")


def check(config: Path | None, root: Path) -> None:
    """Raises ServiceFailed with what to do instead if systemd doesn't run here."""
    if has_systemd(root):
        return
    absolute = str((config or Path("config.toml")).absolute())
    serve = f"{program.command()} serve --config {shlex.quote(absolute)}"
    raise ServiceFailed(_advice().format(config=absolute, serve=serve), EX_UNAVAILABLE)


def _advice() -> str:
    if sys.platform == "win32":
        return _WINDOWS
    if sys.platform == "darwin":
        return _MACOS
    if machine.is_container():
        return _CONTAINER
    return _WSL if machine.is_wsl() else _LINUX
