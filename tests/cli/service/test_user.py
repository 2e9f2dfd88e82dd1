"""The service of one user, who may run what, and machines without systemd."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from lmgateway.cli import machine as this_machine
from lmgateway.cli.service import elsewhere, rights
from lmgateway.cli.service.places import of_machine, of_user
from lmgateway.cli.service.steps import ServiceFailed
from tests.cli.service.conftest import Machine

UNIT = Path(__file__).parents[3] / "systemd/user/lmgateway.service"


async def test_one_user_installs_and_removes_without_root(machine: Machine) -> None:
    """The settings with the key go to the user's own folder; the state is there already."""
    async with machine.serving():
        assert (await machine.run("keys", "add", "alice", *machine.access))[0] == 0
    status, output = await machine.service("install", "--user")
    assert status == 0, output
    places = machine.user
    assert places.config == machine.home / ".config/lmgateway/config.toml"
    assert places.config.read_text() == machine.config.read_text()
    assert places.config.stat().st_mode & 0o077 == 0
    unit = machine.home / ".config/systemd/user/lmgateway.service"
    assert unit.read_text() == UNIT.read_text()
    assert machine.calls() == [
        "systemctl --user show-environment",
        "systemctl --user daemon-reload",
        "systemctl --user enable lmgateway.service",
        "systemctl --user restart lmgateway.service",
        "loginctl enable-linger --no-ask-password",
    ]
    assert "It starts when the machine starts." in output
    assert "copy the active models" not in output
    status, output = await machine.service("status")
    assert status == 0, output
    assert "lmgateway.service is installed for this user" in output
    status, output = await machine.service("uninstall", "--user")
    assert status == 0, output
    assert not unit.exists()
    assert not places.program.exists()
    assert places.config.exists()


async def test_a_user_who_may_not_linger_starts_at_login(machine: Machine) -> None:
    status, output = await machine.service("install", "--user", FAKE_LINGER="1")
    assert status == 0, output
    assert (
        "It starts when you log in; for a start with the machine: sudo loginctl enable-linger $USER" in output
    )


def test_root_is_needed_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has both ways, with the program's whole path: root's PATH doesn't have it."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["/home/alice/lmgateway/.venv/bin/lmgateway"])
    with pytest.raises(ServiceFailed) as failed:
        rights.check(of_machine(), "install", Path("/"), Path("my config.toml"))
    call = "/home/alice/lmgateway/.venv/bin/lmgateway service install --config 'my config.toml'"
    assert f"sudo {call}" in str(failed.value)
    assert f"{call} --user" in str(failed.value)
    assert failed.value.exit_status == 77
    rights.check(of_user(), "install", Path("/"))


def test_sudo_is_wrong_for_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would install root's own service."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    with pytest.raises(ServiceFailed, match="Without sudo, for alice's own service: "):
        rights.check(of_user(), "install", Path("/"))


@pytest.mark.parametrize(
    ("platform", "is_container", "is_wsl", "words"),
    [
        ("linux", True, False, "`restart: unless-stopped`, as in docker/compose.yaml"),
        ("linux", False, True, "Write systemd=true below [boot] in /etc/wsl.conf"),
        ("linux", False, False, "systemd isn't this machine's service manager."),
        ("darwin", False, False, "Make a LaunchAgent with the program arguments: "),
        ("win32", False, False, r"-File windows\install-service.ps1 -WinSW PATH -Config "),
    ],
)
def test_without_systemd_it_says_what_to_do(
    platform: str,
    is_container: bool,
    is_wsl: bool,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(this_machine, "is_container", lambda: is_container)
    monkeypatch.setattr(this_machine, "is_wsl", lambda: is_wsl)
    with pytest.raises(ServiceFailed) as failed:
        elsewhere.check(tmp_path / "config.toml", tmp_path)
    assert words in str(failed.value)
    if not is_wsl:
        assert str(tmp_path / "config.toml") in str(failed.value)
    assert failed.value.exit_status == 69
