"""`lmgateway service status`: whether the service is installed and runs, since when, and with which files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..output import say
from . import elsewhere, places
from .health import files_of, say_log
from .places import SERVICE, SOCKET, Places
from .systemd import Systemd

_PROPERTIES = (
    "ActiveState",
    "SubState",
    "UnitFileState",
    "ActiveEnterTimestamp",
    "MainPID",
    "Result",
    "ExecMainStatus",
    "StatusText",
)
_STATUSES = {
    "71": "can't listen on its address",
    "75": "the state folder is in use",
    "78": "the configuration is invalid",
}


def status(options: argparse.Namespace) -> int:
    """Return 0 if each installed service runs, 1 if one doesn't, or if none is installed."""
    machine, user = places.of_machine(options.root), places.of_user()
    candidates = (user,) if options.user else (machine, user)
    installed = [where for where in candidates if where.is_installed]
    if not installed:
        looked = " or ".join(str(where.unit_folder / SERVICE) for where in candidates)
        say(f"The service isn't installed: there is no {looked}.")
        if sys.platform != "linux":
            say(elsewhere.remark())
        return 1
    return max([_show(where, options.root) for where in installed])


def _show(where: Places, root: Path) -> int:
    whose = "for this user" if where.is_user else "for the machine"
    say(f"{SERVICE} is installed {whose}, in {where.unit_folder}.")
    if not elsewhere.has_systemd(root):
        say(f"{elsewhere.remark()} To remove it: `lmgateway service uninstall{' --user' * where.is_user}`")
        return 1
    systemd = Systemd(where.is_user)
    found = systemd.show(SERVICE, *_PROPERTIES)
    is_active = found.get("ActiveState") == "active"
    if is_active:
        say(f"It has run since {found.get('ActiveEnterTimestamp')} (process {found.get('MainPID')}).", end="")
        say(f" {found.get('StatusText', '')}")
    else:
        say(f"It doesn't run: {_why(found)}. To start it: {where.command('start')}")
    enabled = found.get("UnitFileState") == "enabled"
    say(
        "It is enabled, so it starts by itself."
        if enabled
        else f"It isn't enabled: {where.command('enable')}"
    )
    if SOCKET in where.units and not systemd.is_active(SOCKET):
        say(f"{SOCKET} isn't active, so the port is closed while the service restarts.")
    for line in files_of(where):
        say(line)
    if not is_active:
        say("Its last log lines:")
        say_log(systemd)
    return int(not is_active)


def _why(found: dict[str, str]) -> str:
    """Return the state, and for a failure the meaning of the gateway's exit status."""
    state = f"{found.get('ActiveState', 'unknown')} ({found.get('SubState', '')})"
    if found.get("Result", "success") == "success":
        return state
    number = found.get("ExecMainStatus", "")
    meaning = f": {_STATUSES[number]}" if number in _STATUSES else ""
    return f"{state}, {found['Result']}, exit status {number}{meaning}"
