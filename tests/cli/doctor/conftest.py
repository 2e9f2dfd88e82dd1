"""A folder with a configuration that `lmgateway doctor` examines, beside a simulated LM Studio."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lmgateway import settings
from lmgateway.cli.doctor.findings import Finding
from lmgateway.simulator import Pace, Simulator, serve
from tests.support.process import run

KEY = "a key that is long enough"
Programs = Callable[..., str]


@dataclass
class Patient:
    """`port` is the gateway's, where nothing listens unless a test starts something there."""

    folder: Path
    port: int
    studio_url: str

    @property
    def file(self) -> Path:
        return self.folder / "config.toml"

    def tables(self, **changed: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """The settings that every patient has, and these."""
        healthy: dict[str, dict[str, Any]] = {
            "lmstudio": {"base_url": self.studio_url},
            "server": {"host": "127.0.0.1", "port": self.port, "state_dir": str(self.folder)},
            "auth": {"api_key": KEY},
        }
        return {name: {**healthy.get(name, {}), **changed.get(name, {})} for name in {**healthy, **changed}}

    def configure(self, **changed: dict[str, Any]) -> None:
        """Write them into a file that is private."""
        lines = []
        for table, values in self.tables(**changed).items():
            shown = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
            lines += [f"[{table}]", *(f"{name} = {value}" for name, value in shown.items())]
        self.file.write_text("\n".join(lines), encoding="utf-8")
        self.file.chmod(0o600)

    def load(self, **environ: str) -> settings.Loaded:
        return settings.load(file=self.file, environ=environ)

    async def run(self, *arguments: str, **environ: str) -> tuple[int, str]:
        """Run the command here, with a home where no LM Studio was ever installed."""
        return await run(*arguments, cwd=self.folder, HOME=str(self.folder), **environ)


def messages(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in findings]


@pytest.fixture
async def studio() -> AsyncIterator[tuple[Simulator, str]]:
    simulator = Simulator(pace=Pace.instant())
    async with serve(simulator, "127.0.0.1", 0) as port:
        yield simulator, f"http://127.0.0.1:{port}"


@pytest.fixture
def patient(
    tmp_path: Path, studio: tuple[Simulator, str], unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> Patient:
    """A configuration without problems, in the working directory."""
    monkeypatch.chdir(tmp_path)
    made = Patient(tmp_path, unused_tcp_port, studio[1])
    made.configure()
    return made


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    """Return a PATH of programs with a fixed output: `programs(ufw="Status: active")`."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(**outputs: str) -> str:
        for name, output in outputs.items():
            program = folder / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
            program.chmod(0o755)
        return f"{folder}:/usr/bin:/bin"

    return install


@pytest.fixture
def install_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make it look as if an lmgateway 9.9.9 had just been installed, with these requirements."""

    def install(*requirements: str, python: str = ">=3.11") -> None:
        info = tmp_path / "site" / "lmgateway-9.9.9.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", "Name: lmgateway", "Version: 9.9.9", f"Requires-Python: {python}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (info / "METADATA").write_text("\n".join(lines))
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
        monkeypatch.syspath_prepend(tmp_path / "site")

    return install
