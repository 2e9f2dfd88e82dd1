"""`lmgateway service install`: everything that worked in a folder works in the service."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.cli.service import conftest
from tests.cli.service.conftest import Machine

MODEL = "qwen2.5-7b-instruct"
UNITS = Path(__file__).parents[3] / "systemd"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_nothing_is_lost(machine: Machine) -> None:
    """The owner's key, the named keys, the active model and the usage are those of the folder."""
    async with machine.serving():
        for command in (("keys", "add", "alice"), ("load", MODEL)):
            status, output = await machine.run(*command, *machine.access)
            assert status == 0, output
        url = f"http://127.0.0.1:{machine.port}/v1/chat/completions"
        body = {"messages": [{"role": "user", "content": "Hello!"}]}
        async with (
            aiohttp.ClientSession(headers={"X-API-Key": machine.key}) as client,
            client.post(url, json=body) as response,
        ):
            assert response.status == 200
    status, output = await machine.service("install")
    assert status == 0, output
    assert f"The gateway runs at http://127.0.0.1:{machine.port}, its dashboard at" in output
    assert "It starts when the machine starts." in output
    for command, shown in (
        (("keys", "list"), "alice"),
        (("models",), f"active  {MODEL}"),
        (("usage", "--by", "model"), MODEL),
    ):
        status, output = await machine.run(*command, *machine.access)
        assert status == 0, output
        assert shown in output


async def test_every_file_is_where_the_unit_expects_it(machine: Machine) -> None:
    """The unit files as they are, the settings for every user to read, and the key for root alone."""
    machine.config.write_text(machine.config.read_text() + '\n[models."a/b"]\naliases = ["mine"]\n')
    before = tomllib.loads(machine.config.read_text())
    status, output = await machine.service("install")
    assert status == 0, output
    places = machine.system
    assert (places.unit_folder / "lmgateway.service").read_text() == (UNITS / "lmgateway.service").read_text()
    assert (places.unit_folder / "lmgateway.socket").read_text() == (UNITS / "lmgateway.socket").read_text()
    assert (mode(places.config), mode(places.folder / "api_key")) == (0o644, 0o600)
    assert (places.folder / "api_key").read_text().strip() == before["auth"].pop("api_key")
    assert tomllib.loads(places.config.read_text()) == before
    # The comments are the configuration's manual.
    lines = set(places.config.read_text().splitlines())
    assert len([line for line in machine.config.read_text().splitlines() if line not in lines]) == 2
    assert machine.key not in places.config.read_text()
    assert machine.key not in output
    assert machine.calls() == [
        "systemctl daemon-reload",
        "systemctl enable lmgateway.socket lmgateway.service",
        "systemctl start lmgateway.socket",
        "systemctl restart lmgateway.service",
    ]


async def test_a_dry_run_says_what_it_would_do_and_changes_nothing(machine: Machine) -> None:
    before = machine.files()
    status, output = await machine.service("install", "--dry-run")
    assert status == 0
    for words in (
        f"Would write {machine.system.config}, made of {machine.config}, without its secrets",
        f"Would write {machine.system.folder / 'api_key'}, which only root can read, with auth.api_key",
        f"Would write {machine.system.unit_folder / 'lmgateway.service'}",
        "Would enable lmgateway.socket and lmgateway.service, to start when the machine starts",
    ):
        assert words in output
    assert machine.key not in output
    assert (machine.files(), machine.calls()) == (before, [])


async def test_a_gateway_that_still_runs_is_named(machine: Machine) -> None:
    """The one in the other terminal has the port, and would go on writing to the old state."""
    async with machine.serving() as process:
        status, output = await machine.service("install")
        assert status == 75
        assert f"The gateway still runs: process {process.pid}, " in output
        assert "End it (Ctrl-C)" in output
        assert machine.files() == set()
        status, output = await machine.service("install", "--dry-run")
        assert status == 1
        assert (
            f"As it is, the installation would fail: The gateway still runs: process {process.pid}, "
            in output
        )


async def test_a_program_on_the_port_is_in_the_way(machine: Machine) -> None:
    async with TestServer(web.Application(), port=machine.port):
        status, output = await machine.service("install")
    assert status == 71
    assert f"can't listen on 127.0.0.1 port {machine.port}" in output
    assert "or set server.port to another port" in output
    assert machine.files() == set()


async def test_a_folder_without_a_configuration(machine: Machine) -> None:
    machine.config.unlink()
    status, output = await machine.service("install")
    assert status == 78
    assert f"There is no config.toml in {machine.folder}. Make one with `lmgateway init`" in output


async def test_an_invalid_configuration_changes_nothing(machine: Machine) -> None:
    machine.config.write_text("[server]\nport = 99999\n")
    status, output = await machine.service("install")
    assert status == 78
    assert "server.port: invalid value 99999" in output
    assert machine.files() == set()


async def test_a_service_that_fails_shows_its_log(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the gateway said before it ended is on the terminal, and not only in the journal."""
    monkeypatch.setattr(conftest, "PROGRAM", "#!/bin/sh\necho no such module\nexit 70\n")
    status, output = await machine.service("install")
    assert status == 1
    assert "\n  no such module\n" in output
    assert "systemctl restart lmgateway.service failed: Job for lmgateway.service failed" in output


async def test_settings_in_place_that_are_invalid_stop_nothing(machine: Machine) -> None:
    """They are checked before the service is touched."""
    assert (await machine.service("install"))[0] == 0
    machine.calls()
    machine.system.config.write_text("[server]\nport = 99999\n")
    status, output = await machine.service("install")
    assert status == 78
    assert f"{machine.system.config}: server.port: invalid value 99999" in output
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("host", "streams"),
    [
        ("127.0.0.1", ["127.0.0.1:{port}"]),
        ("0.0.0.0", ["0.0.0.0:{port}"]),
        ("::1", ["[::1]:{port}"]),
        ("::", ["{port}"]),
    ],
)
async def test_the_socket_listens_where_the_gateway_did(
    machine: Machine, host: str, streams: list[str]
) -> None:
    """The unit's own socket would open a gateway to the network that was for its machine alone."""
    await machine.init("--host", host, "--force")
    status, output = await machine.service("install", "--dry-run")
    assert status == 0, output
    drop_in = machine.system.unit_folder / "lmgateway.socket.d/10-address.conf"
    assert f"Would write {drop_in}" in output
    status, output = await machine.service("install")
    assert status == 0, output
    lines = drop_in.read_text().splitlines()
    assert [line for line in lines if line.startswith("ListenStream=")] == [
        "ListenStream=",
        *(f"ListenStream={stream.format(port=machine.port)}" for stream in streams),
    ]


async def test_settings_of_other_sources_come_along(machine: Machine) -> None:
    """The service reads neither .env nor the environment of a terminal."""
    (machine.folder / ".env").write_text("GATEWAY_API_KEY=the key in .env\nMAX_BODY_BYTES=1234567\n")
    status, output = await machine.service("install", QUEUE_KEEPALIVE="9000")
    assert status == 0, output
    written = tomllib.loads(machine.system.config.read_text())
    assert written["proxy"]["max_body_bytes"] == 1234567
    assert written["queue"]["keepalive_ms"] == 9000
    assert "api_key" not in written["auth"]
    assert (machine.system.folder / "api_key").read_text() == "the key in .env\n"
    assert "proxy.max_body_bytes of .env (MAX_BODY_BYTES)" in output
    assert "the key in .env" not in output
