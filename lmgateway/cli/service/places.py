"""Where the service's files are: those of the machine's service, or of one user's."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from msgspec import Struct
from platformdirs import user_config_path, user_state_path

SERVICE, SOCKET = "lmgateway.service", "lmgateway.socket"
CONFIG = "config.toml"
# In the unit's LoadCredential=, by the settings' paths.
SECRET_FILES = {"auth.api_key": "api_key", "lmstudio.api_token": "lmstudio_token"}
# Drop-ins for what the unit files can't know.
DRAIN_DROP_IN = f"{SERVICE}.d/10-drain.conf"
LOG_DROP_IN = f"{SERVICE}.d/10-log.conf"
CERTIFICATE_DROP_IN = f"{SERVICE}.d/10-certificate.conf"
SOCKET_DROP_IN = f"{SOCKET}.d/10-address.conf"


class Places(Struct, frozen=True):
    """`folder` has the configuration, and `unit_folder` is where systemd looks for units."""

    is_user: bool
    program: Path
    folder: Path
    state: Path
    unit_folder: Path
    # Folders that the service can't read (ProtectHome=).
    closed: tuple[Path, ...] = ()

    @property
    def config(self) -> Path:
        return self.folder / CONFIG

    @property
    def units(self) -> dict[str, str]:
        """The unit files in the order of their start, each with the shipped file that it is a copy of."""
        if self.is_user:
            return {SERVICE: f"systemd/user/{SERVICE}"}
        return {SOCKET: f"systemd/{SOCKET}", SERVICE: f"systemd/{SERVICE}"}

    @property
    def is_installed(self) -> bool:
        return (self.unit_folder / SERVICE).is_file()

    def secret(self, setting: str) -> Path:
        return self.folder / SECRET_FILES[setting]

    def command(self, verb: str) -> str:
        """Return the systemctl command that an administrator, or this user, types."""
        who = "systemctl --user" if self.is_user else "sudo systemctl"
        return f"{who} {verb} lmgateway"


def chosen(options: argparse.Namespace) -> Places:
    """Return the places of the service that the options name: the machine's, or with --user this user's."""
    return of_user() if options.user else of_machine(options.root)


def of_machine(root: Path = Path("/")) -> Places:
    return Places(
        is_user=False,
        program=root / "opt/lmgateway",
        folder=root / "etc/lmgateway",
        state=root / "var/lib/lmgateway",
        unit_folder=root / "etc/systemd/system",
        closed=(root / "home", root / "root", root / "run/user"),
    )


def of_user() -> Places:
    config = user_config_path("lmgateway", appauthor=False)
    return Places(
        is_user=True,
        # Not $XDG_DATA_HOME: the unit has %h.
        program=Path.home() / ".local/share/lmgateway",
        folder=config,
        state=user_state_path("lmgateway", appauthor=False),
        unit_folder=config.parent / "systemd/user",
    )


def home_of_owner(file: Path) -> Path | None:
    """Return the home folder of the user who owns the file; None if it is the current user's."""
    if sys.platform == "win32":
        return None
    import os
    import pwd

    owner = file.stat().st_uid
    if owner == os.geteuid():
        return None
    try:
        return Path(pwd.getpwuid(owner).pw_dir)
    except KeyError:
        return None
