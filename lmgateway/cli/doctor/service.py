"""Checks the systemd unit, if there is one."""

from __future__ import annotations

import re
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from ...settings import SETTINGS
from ...settings.files import DEFAULT_PATHS
from .commands import output_of
from .findings import Finding

_CHECK = "service"
UNIT = "lmgateway.service"
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "User",
    "DynamicUser",
    "Environment",
    "EnvironmentFiles",
    "LoadCredential",
)
_SECRETS = "|".join(name for setting in SETTINGS.values() if setting.secret for name in setting.env)
_SETS_A_SECRET = re.compile(rf"(?m)(?:^|[ \"'])({_SECRETS})=\S")
_SYSTEM_FILE = DEFAULT_PATHS[-1]


def examine() -> Iterator[Finding]:
    """Query systemd for the unit. Yields nothing without systemd or without the unit."""
    if sys.platform != "linux":
        return
    output = output_of("systemctl", "show", UNIT, f"--property={','.join(_PROPERTIES)}")
    properties: dict[str, str] = {}
    for line in (output or "").splitlines():
        name, _, value = line.partition("=")
        # A property with several values has a line for each.
        properties[name] = f"{properties[name]}\n{value}" if name in properties else value
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
    yield from _secrets(properties)
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


def _secrets(properties: Mapping[str, str]) -> Iterator[Finding]:
    """Report secrets that every user of the machine can read. systemd itself reads their files as root."""
    if (found := _SETS_A_SECRET.search(properties.get("Environment", ""))) is not None:
        yield Finding.problem(
            _CHECK,
            f"{UNIT} sets {found[1]} itself, which `systemctl show` prints for every user of this machine.",
            "Move it to a file of LoadCredential= in the unit.",
        )
    credentials = [line.partition(":")[2] for line in properties.get("LoadCredential", "").splitlines()]
    environment = [line.rpartition(" (")[0] for line in properties.get("EnvironmentFiles", "").splitlines()]
    for name in dict.fromkeys((*credentials, *environment)):
        file = Path(name)
        if file.is_absolute() and _is_public(file) and (name in credentials or _sets_a_secret(file)):
            yield Finding.problem(
                _CHECK,
                f"Every user of this machine can read {file}, which contains a secret.",
                f"chmod 600 {shlex.quote(name)}",
            )


def _is_public(file: Path) -> bool:
    try:
        return bool(file.stat().st_mode & stat.S_IROTH) and file.is_file()
    except OSError:  # it is missing, or in a folder that this user may not enter
        return False


def _sets_a_secret(file: Path) -> bool:
    try:
        return _SETS_A_SECRET.search(file.read_text(errors="replace")) is not None
    except OSError:
        return False


def _is_readable(file: Path, user: str | None) -> bool:
    """True if this user can read the file. None is a user that owns no file."""
    mode = file.stat().st_mode
    if sys.platform == "win32":  # which has neither such modes nor systemd
        return True
    return bool(mode & 0o004) or (user is not None and file.owner() == user and bool(mode & 0o400))
