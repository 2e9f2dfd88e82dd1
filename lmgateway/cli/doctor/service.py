"""Checks the systemd unit, if there is one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...settings.files import DEFAULT_PATHS
from .commands import output_of
from .findings import Finding

_CHECK = "service"
UNIT = "lmgateway.service"
_PROPERTIES = ("LoadState", "ActiveState", "User", "DynamicUser")
_SYSTEM_FILE = DEFAULT_PATHS[-1]


def examine() -> Iterator[Finding]:
    """Query systemd for the unit. Yields nothing without systemd or without the unit."""
    if sys.platform != "linux":
        return
    output = output_of("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}")
    properties = dict(line.split("=", 1) for line in (output or "").splitlines() if "=" in line)
    if properties.get("LoadState") == "loaded":
        yield from judge(properties, _SYSTEM_FILE)


def judge(properties: Mapping[str, str], config_file: Path) -> Iterator[Finding]:
    """Check the properties that `systemctl show` prints (systemd.exec(5)) and the configuration file."""
    state, user = properties.get("ActiveState", ""), properties.get("User", "")
    is_dynamic = properties.get("DynamicUser") == "yes"
    if state == "failed":
        yield Finding.problem(_CHECK, f"{UNIT} has failed.", f"journalctl -u {UNIT} -e shows why.")
    else:
        yield Finding.ok(_CHECK, f"{UNIT} is {state}.")
    if not is_dynamic and user in {"", "root"}:
        yield Finding.warning(
            _CHECK,
            f"{UNIT} runs as root, which the gateway doesn't need.",
            "Set DynamicUser=yes or User= in the unit.",
        )
    elif config_file.is_file() and not _is_readable(config_file, None if is_dynamic else user):
        who = "a user of its own" if is_dynamic else user
        yield Finding.problem(
            _CHECK,
            f"{UNIT} runs as {who}, which can't read {config_file}.",
            f"Move the key to a file of LoadCredential= in the unit, then: chmod 644 {config_file}",
        )


def _is_readable(file: Path, user: str | None) -> bool:
    """True if this user can read the file. None is a user that owns no file."""
    mode = file.stat().st_mode
    if sys.platform == "win32":  # which has neither such modes nor systemd
        return True
    return bool(mode & 0o004) or (user is not None and file.owner() == user and bool(mode & 0o400))
