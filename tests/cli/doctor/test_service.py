"""The systemd unit, as `systemctl show` tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmgateway.cli.doctor.service import examine, judge
from tests.cli.doctor.conftest import Programs

FAILED = {"ActiveState": "failed", "DynamicUser": "yes", "User": "lmgateway"}
ACTIVE = {**FAILED, "ActiveState": "active"}
ROOT = {"ActiveState": "active", "DynamicUser": "no", "User": ""}


@pytest.mark.parametrize(
    ("properties", "mode", "levels"),
    [
        (FAILED, 0o644, ["problem"]),
        (ACTIVE, 0o644, ["ok"]),
        (ACTIVE, 0o600, ["ok", "problem"]),
        (ACTIVE, None, ["ok"]),
        (ROOT, 0o600, ["ok", "warning"]),
        ({**ROOT, "User": "nobody"}, 0o600, ["ok", "problem"]),
    ],
)
def test_unit(tmp_path: Path, properties: dict[str, str], mode: int | None, levels: list[str]) -> None:
    """That it failed, that it has more rights than it needs, that its user can't read its configuration."""
    file = tmp_path / "config.toml"
    if mode is not None:
        file.touch()
        file.chmod(mode)
    assert [finding.level for finding in judge(properties, file)] == levels


def test_systemd_is_asked(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing unit, or a missing systemd, is no finding."""
    output = "LoadState=loaded\nActiveState=failed\nUser=\nDynamicUser=no"
    monkeypatch.setenv("PATH", programs(systemctl=output))
    assert [finding.level for finding in examine()] == ["problem", "warning"]
    monkeypatch.setenv("PATH", programs(systemctl="LoadState=not-found\nActiveState=inactive"))
    assert list(examine()) == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert list(examine()) == []
