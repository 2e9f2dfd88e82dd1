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


@pytest.mark.parametrize(
    ("properties", "mode", "message"),
    [
        ({"LoadCredential": "GATEWAY_API_KEY:FILE"}, 0o644, "can read FILE, which contains a secret."),
        ({"LoadCredential": "LMSTUDIO_API_TOKEN:/x\nGATEWAY_API_KEY:FILE"}, 0o644, "can read FILE"),
        ({"LoadCredential": "GATEWAY_API_KEY:FILE"}, 0o600, None),
        ({"LoadCredential": "GATEWAY_API_KEY:stored"}, 0o644, None),
        ({"EnvironmentFiles": "/x (ignore_errors=yes)\nFILE (ignore_errors=no)"}, 0o644, "can read FILE"),
        ({"EnvironmentFiles": "FILE (ignore_errors=no)"}, 0o600, None),
        ({"EnvironmentFiles": "EMPTY (ignore_errors=no)"}, 0o644, None),
        ({"Environment": "A=1 GATEWAY_API_KEY=secret"}, 0o600, "sets GATEWAY_API_KEY itself"),
        ({"Environment": '"LMSTUDIO_API_TOKEN=a b"'}, 0o600, "sets LMSTUDIO_API_TOKEN itself"),
        ({"Environment": "GATEWAY_API_KEY= MY_GATEWAY_API_KEY=x"}, 0o600, None),
    ],
)
def test_secrets_of_the_unit(
    tmp_path: Path, properties: dict[str, str], mode: int, message: str | None
) -> None:
    """systemd reads the files as root, so they are for root alone; what a unit itself sets is public."""
    file, empty = tmp_path / "a file", tmp_path / "empty"
    file.write_text("# comment\nGATEWAY_API_KEY=secret\n")
    empty.write_text("LD_PRELOAD=libjemalloc.so.2\n")
    for one in (file, empty):
        one.chmod(mode)
    named = {
        name: value.replace("FILE", str(file)).replace("EMPTY", str(empty))
        for name, value in properties.items()
    }
    _, *findings = judge({**ACTIVE, **named}, tmp_path / "config.toml")
    assert [finding.level for finding in findings] == (["problem"] if message else [])
    assert all(str(message).replace("FILE", str(file)) in finding.message for finding in findings)
    assert "secret\n" not in str(findings)


def test_systemd_is_asked(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing unit, or a missing systemd, is no finding."""
    output = "LoadState=loaded\nActiveState=failed\nUser=\nDynamicUser=no"
    monkeypatch.setenv("PATH", programs(systemctl=output))
    assert [finding.level for finding in examine()] == ["problem", "warning"]
    monkeypatch.setenv("PATH", programs(systemctl="LoadState=not-found\nActiveState=inactive"))
    assert list(examine()) == []
    monkeypatch.setenv("PATH", "/nowhere")
    assert list(examine()) == []
