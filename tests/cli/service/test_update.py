"""A second `lmgateway service install`, `status`, and `uninstall`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.service.conftest import Machine

HOUR = 3600


def make_older(path: Path) -> None:
    """As if it had been written an hour before."""
    status = path.stat()
    os.utime(path, (status.st_atime - HOUR, status.st_mtime - HOUR))


@pytest.fixture
async def installed(machine: Machine) -> Machine:
    status, output = await machine.service("install")
    assert status == 0, output
    make_older(machine.config)
    make_older(machine.system.config)
    machine.calls()
    return machine


async def test_a_second_installation_changes_nothing_but_the_program(installed: Machine) -> None:
    files = installed.files()
    status, output = await installed.service("install")
    assert status == 0, output
    assert "Write " not in output
    assert installed.files() == files
    # No request is refused: the socket stays open.
    assert installed.calls()[-1] == "systemctl restart lmgateway.service"
    assert not [call for call in installed.calls() if " stop " in call]


async def test_settings_changed_in_place_are_kept(installed: Machine) -> None:
    """An update of the program doesn't take them back to what `init` wrote."""
    config = installed.system.config
    config.write_text(config.read_text() + "# mine\n")
    status, output = await installed.service("install")
    assert status == 0, output
    assert f"{config} stays as it is, because it is newer than {installed.config}." in output
    assert f"--config {installed.config}" in output
    assert config.read_text().endswith("# mine\n")


@pytest.mark.parametrize("is_named", [True, False], ids=["named", "newer"])
async def test_replaced_settings_and_keys_leave_a_copy(installed: Machine, is_named: bool) -> None:
    folder, key = installed.system.folder, installed.key
    installed.system.config.write_text(installed.system.config.read_text() + "# mine\n")
    await installed.init("--force", "--new-key")
    if is_named:
        make_older(installed.config)
    else:
        make_older(installed.system.config)
    status, output = await installed.service("install", *(("--config", "config.toml") if is_named else ()))
    assert status == 0, output
    assert f"the previous file is saved as {folder / 'config.toml.bak'}" in output
    assert (folder / "config.toml.bak").read_text().endswith("# mine\n")
    assert (folder / "api_key.bak").read_text().strip() == key
    assert (folder / "api_key").read_text().strip() == installed.key != key
    assert (folder / "api_key.bak").stat().st_mode & 0o077 == 0


async def test_another_port_is_another_socket(
    installed: Machine, unused_tcp_port_factory: Callable[[], int]
) -> None:
    """systemd changes no socket whose service runs, so both are stopped."""
    port = unused_tcp_port_factory()
    config = installed.system.config
    config.write_text(config.read_text().replace(f"port = {installed.port}", f"port = {port}"))
    status, output = await installed.service("install")
    assert status == 0, output
    assert f"The gateway runs at http://127.0.0.1:{port}," in output
    drop_in = installed.system.unit_folder / "lmgateway.socket.d/10-address.conf"
    assert f"ListenStream=127.0.0.1:{port}" in drop_in.read_text()
    assert installed.calls() == [
        "systemctl stop lmgateway.service lmgateway.socket",
        "systemctl daemon-reload",
        "systemctl enable lmgateway.socket lmgateway.service",
        "systemctl start lmgateway.socket",
        "systemctl restart lmgateway.service",
    ]


async def test_an_update_needs_no_folder(installed: Machine) -> None:
    """`lmgateway service install` from anywhere keeps the settings in place."""
    installed.config.unlink()
    status, output = await installed.service("install")
    assert status == 0, output
    assert f"The gateway runs at http://127.0.0.1:{installed.port}," in output


async def test_the_state_of_the_service_is_never_replaced(installed: Machine) -> None:
    """The folder's own may be months old."""
    old = installed.folder / "state/lmgateway/lmgateway.db"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"old")
    status, output = await installed.service("install")
    assert status == 0, output
    assert (
        f"The service keeps its state in {installed.system.state}; that in {old.parent} isn't copied"
        in output
    )
    assert (installed.system.state / "lmgateway.db").read_bytes() != b"old"


async def test_status_of_a_service_that_runs(installed: Machine) -> None:
    status, output = await installed.service("status")
    assert status == 0
    assert f"lmgateway.service is installed for the machine, in {installed.system.unit_folder}." in output
    assert "It has run since Mon 2026-11-30 20:00:00 UTC (process " in output
    assert "It is enabled, so it starts by itself." in output
    assert str(installed.system.config) in output
    assert installed.key not in output


async def test_status_of_a_service_that_failed(installed: Machine) -> None:
    """What happened, in words, and what it logged."""
    installed.system.config.write_text("[server]\nport = 99999\n")
    assert await installed.systemctl("restart", "lmgateway.service") != 0
    status, output = await installed.service("status")
    assert status == 1
    assert (
        "It doesn't run: failed (failed), exit-code, exit status 78: the configuration is invalid." in output
    )
    assert "To start it: sudo systemctl start lmgateway" in output
    assert "Its last log lines:" in output
    assert "server.port: invalid value 99999" in output


async def test_status_and_uninstall_without_a_service(machine: Machine) -> None:
    status, output = await machine.service("status")
    assert status == 1
    assert "The service isn't installed: there is no " in output
    status, output = await machine.service("uninstall")
    assert (status, output) == (0, "There is nothing to remove: the service isn't installed.\n")


async def test_status_and_uninstall_without_systemd(installed: Machine) -> None:
    """They say what is there, and remove it. How to install it elsewhere isn't the question."""
    (installed.root / "run/systemd/system").rmdir()
    status, output = await installed.service("status")
    assert status == 1
    assert "lmgateway.service is installed for the machine" in output
    assert (
        "systemd isn't this machine's service manager, so it doesn't run. To remove it: `lmgateway" in output
    )
    status, output = await installed.service("uninstall")
    assert (status, "Remove " in output, "systemctl" in output) == (0, True, False)
    assert not (installed.system.unit_folder / "lmgateway.service").exists()
    assert installed.calls() == []
    for action, ended in (("status", 1), ("uninstall", 0)):
        status, output = await installed.service(action)
        assert (status, "the service isn't installed" in output.lower(), "serve" in output.split()) == (
            ended,
            True,
            False,
        )


async def test_uninstall_keeps_settings_key_and_state(installed: Machine) -> None:
    status, output = await installed.service("uninstall")
    assert status == 0, output
    places = installed.system
    kept = {path.removeprefix("etc/").removeprefix("var/lib/") for path in installed.files()}
    assert {"lmgateway/config.toml", "lmgateway/api_key", "lmgateway/lmgateway.db"} <= kept
    assert [path for path in installed.files() if path.startswith(("opt", "etc/systemd"))] == []
    assert f"Kept the settings and the key in {places.folder} and the state in {places.state}." in output
    assert installed.calls() == [
        "systemctl disable --now lmgateway.service lmgateway.socket",
        "systemctl daemon-reload",
    ]
    # And all of it is in force again after another installation.
    installed.config.unlink()
    status, output = await installed.service("install")
    assert status == 0, output
    assert (places.folder / "api_key").exists()


async def test_uninstall_purges_only_when_told_to(installed: Machine) -> None:
    status, output = await installed.service("uninstall", "--purge", "--dry-run")
    assert status == 0, output
    assert f"Would remove {installed.system.folder}" in output
    assert installed.calls() == []
    status, output = await installed.service("uninstall", "--purge")
    assert status == 0, output
    assert installed.files() == set()
    # What `init` wrote is the user's.
    assert tomllib.loads(installed.config.read_text())["auth"]["api_key"]


async def test_a_key_written_into_the_settings_in_place_is_moved(installed: Machine) -> None:
    """Every user can read that file. Both previous files are kept."""
    places, previous = installed.system, installed.key
    text = places.config.read_text()
    places.config.write_text(text.replace("[auth]\n", '[auth]\napi_key = "another key"\n'))
    status, output = await installed.service("install")
    assert status == 0, output
    assert "another key" not in places.config.read_text() + output
    assert (places.folder / "api_key").read_text() == "another key\n"
    assert (places.folder / "api_key.bak").read_text() == f"{previous}\n"
