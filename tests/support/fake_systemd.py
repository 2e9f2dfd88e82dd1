"""Stand-ins for systemctl, journalctl and loginctl, which start the service's real program without systemd.

`python fake_systemd.py PROGRAM ARGUMENT...`, with the folder that takes the place of / in $FAKE_ROOT. Each
call is a line in `calls` there. A service is started as its unit says, with its credentials and state folder.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(os.environ.get("FAKE_ROOT", "/nowhere"))
ENDING_SECONDS = 30


class Manager:
    def __init__(self, *, is_user: bool) -> None:
        self.is_user = is_user
        self.units = Path.home() / ".config/systemd/user" if is_user else ROOT / "etc/systemd/system"
        self.runtime = ROOT / "run/fake" / ("user" if is_user else "system")
        self.runtime.mkdir(parents=True, exist_ok=True)

    def lines(self, unit: str) -> list[tuple[str, str]]:
        """A unit's assignments, with those of its drop-ins."""
        files = [self.units / unit, *sorted((self.units / f"{unit}.d").glob("*.conf"))]
        text = "\n".join(file.read_text() for file in files)
        return [
            (key, value)
            for key, equals, value in (line.partition("=") for line in text.splitlines())
            if equals
        ]

    def process(self, unit: str) -> psutil.Process | None:
        try:
            process = psutil.Process(int((self.runtime / f"{unit}.pid").read_text()))
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except (OSError, ValueError, psutil.Error):
            return None

    def start(self, unit: str) -> int:
        if unit.endswith(".socket"):
            (self.runtime / f"{unit}.open").touch()
            return 0
        settings = self.lines(unit)
        command = shlex.split(dict(settings)["ExecStart"].replace("%h", str(Path.home())))
        place = Path("/") if self.is_user else ROOT
        log = (self.runtime / f"{unit}.log").open("a")
        notified = self.runtime / "notify"
        notified.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(str(notified))
            heard.settimeout(0.1)
            process = subprocess.Popen(
                [str(place / command[0].lstrip("/")), *command[1:]],
                cwd=Path.home() / ".config/lmgateway" if self.is_user else ROOT,
                env={"PATH": os.defpath, "NOTIFY_SOCKET": str(notified), **self.environ(settings)},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            (self.runtime / f"{unit}.pid").write_text(str(process.pid))
            while process.poll() is None:
                try:
                    if b"READY=1" in heard.recv(4096):
                        return 0
                except TimeoutError:
                    continue
        (self.runtime / f"{unit}.status").write_text(str(process.returncode))
        print(f"Job for {unit} failed because the control process exited with error code.", file=sys.stderr)
        return 1

    def environ(self, settings: list[tuple[str, str]]) -> dict[str, str]:
        if self.is_user:
            return {"HOME": str(Path.home())}
        credentials = self.runtime / "credentials"
        credentials.mkdir(exist_ok=True)
        for name, file in (value.split(":") for key, value in settings if key == "LoadCredential"):
            if (source := ROOT / file.lstrip("/")).exists():
                (credentials / name).write_bytes(source.read_bytes())
        return {
            "CREDENTIALS_DIRECTORY": str(credentials),
            "STATE_DIRECTORY": str(ROOT / "var/lib" / dict(settings)["StateDirectory"]),
            # The program itself looks in the real /etc.
            "LMGATEWAY_CONFIG": str(ROOT / "etc/lmgateway/config.toml"),
        }

    def stop(self, unit: str) -> int:
        (self.runtime / f"{unit}.open").unlink(missing_ok=True)
        if (process := self.process(unit)) is not None:
            process.send_signal(signal.SIGTERM)
            process.wait(ENDING_SECONDS)
        return 0

    def show(self, unit: str) -> int:
        process, status = self.process(unit), self.runtime / f"{unit}.status"
        is_open = process is not None or (self.runtime / f"{unit}.open").exists()
        has_failed = not is_open and status.exists()
        print(f"ActiveState={'active' if is_open else 'failed' if has_failed else 'inactive'}")
        print(f"SubState={'running' if is_open else 'failed' if has_failed else 'dead'}")
        print(f"UnitFileState={'enabled' if (self.runtime / f'{unit}.enabled').exists() else 'disabled'}")
        print("ActiveEnterTimestamp=Mon 2026-11-30 20:00:00 UTC")
        print(f"MainPID={process.pid if process else 0}")
        print(f"Result={'exit-code' if has_failed else 'success'}")
        print(f"ExecMainStatus={status.read_text() if has_failed else 0}")
        return 0

    def systemctl(self, verb: str, *words: str) -> int:
        units = [word for word in words if not word.startswith("-")]
        match verb:
            case "show":
                return self.show(units[0])
            case "enable" | "disable":
                for unit in units:
                    mark = self.runtime / f"{unit}.enabled"
                    mark.touch() if verb == "enable" else mark.unlink(missing_ok=True)
                    if "--now" in words:
                        self.stop(unit)
                return 0
            case "start" | "restart" | "stop":
                if verb != "start":
                    for unit in units:
                        self.stop(unit)
                return max(self.start(unit) for unit in units) if verb != "stop" else 0
        return 0


def main(program: str, *arguments: str) -> int:
    manager = Manager(is_user="--user" in arguments)
    words = [word for word in arguments if word != "--user"]
    if words[0] != "show":
        with (ROOT / "calls").open("a") as calls:
            print(program, *arguments, file=calls)
    if program == "journalctl":
        unit = re.sub("^--unit=", "", words[0])
        log = manager.runtime / f"{unit}.log"
        print(log.read_text() if log.exists() else "", end="")
        return 0
    return manager.systemctl(*words) if program == "systemctl" else int(os.environ.get("FAKE_LINGER", "0"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
