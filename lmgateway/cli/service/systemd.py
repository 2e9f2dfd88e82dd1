"""systemd, by its own commands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from ..failures import EX_UNAVAILABLE
from .steps import ServiceFailed

# A restart waits for running requests (TimeoutStopSec=), and then for the start (90 s by default).
SECONDS = 180
LOG_LINES = 10


class Systemd(Struct, frozen=True):
    """The system's manager, or the one of this user."""

    is_user: bool

    def run(self, *arguments: str) -> None:
        """Run systemctl. Raises ServiceFailed with what it says."""
        done = self._call("systemctl", *arguments)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise ServiceFailed(f"systemctl {' '.join(arguments)} failed: {said}", 1)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return a unit's properties; {} if systemd can't be asked."""
        done = self._call("systemctl", "show", unit, f"--property={','.join(properties)}")
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def is_active(self, *units: str) -> bool:
        """True if one of these units runs, starts or reloads."""
        states = {self.show(unit, "ActiveState").get("ActiveState") for unit in units}
        return bool(states & {"active", "activating", "reloading"})

    def log(self, unit: str) -> list[str]:
        """Return the last lines that the service logged."""
        done = self._call(
            "journalctl", f"--unit={unit}", f"--lines={LOG_LINES}", "--no-pager", "--output=cat"
        )
        return done.stdout.splitlines()

    def stays_after_logout(self) -> bool:
        """Let this user's services run from boot on (loginctl(1)); False if that isn't allowed."""
        return self._call("loginctl", "enable-linger", "--no-ask-password").returncode == 0

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        path = shutil.which(program)
        if path is None:
            return subprocess.CompletedProcess(program, 127, "", f"{program} isn't installed")
        manager = ["--user"] if self.is_user and program != "loginctl" else []
        try:
            return subprocess.run(  # noqa: S603 - no argument comes from outside
                [path, *manager, *arguments],
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as exc:
            raise ServiceFailed(
                f"{program} {' '.join(arguments)} took over {SECONDS} s.", EX_UNAVAILABLE
            ) from exc


def is_running(root: Path = Path("/")) -> bool:
    """True if systemd is this machine's service manager (sd_booted(3))."""
    return (root / "run/systemd/system").is_dir() and shutil.which("systemctl") is not None
