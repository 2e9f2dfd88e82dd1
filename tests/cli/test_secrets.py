"""Where the commands send secrets: in another user's folder, and at an address that redirects."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from yarl import URL

from lmgateway.cli import discovery
from lmgateway.cli.failures import RequestFailed
from lmgateway.cli.gateway_client import gateway_client
from tests.cli.conftest import KEY, Commands
from tests.support.process import lmgateway, run
from tests.support.upstream import Received, ScriptedUpstream, answer, scripted_upstream

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
HOST = "evil.invalid"
GATEWAY = f'[server]\nhost = "{HOST}"\n'
STUDIO = f'[lmstudio]\nbase_url = "http://{HOST}:1234"\n'
MODEL = "qwen2.5-7b-instruct"
CLIENTS = [
    ["models"],
    ["load", MODEL],
    ["cancel", MODEL],
    ["unload", MODEL],
    ["activate", MODEL],
    ["deactivate"],
    ["events"],
    ["keys", "list"],
    ["keys", "add", "alice"],
]


@pytest.mark.parametrize("command", CLIENTS, ids=" ".join)
async def test_the_key_is_not_sent_where_the_folder_says(tmp_path: Path, command: list[str]) -> None:
    """No request is made, and one line names both sources and what to do."""
    (tmp_path / "config.toml").write_text(GATEWAY)
    status, output = await run(*command, cwd=tmp_path, GATEWAY_API_KEY=KEY)
    assert status == 78
    [line] = output.splitlines()
    for named in ("environment (GATEWAY_API_KEY)", "config.toml", HOST, "--url"):
        assert named in line
    assert KEY not in line


async def test_the_key_in_the_environment_goes_where_the_user_says(commands: Commands) -> None:
    """--url is stronger than any folder."""
    (commands.folder / "config.toml").write_text(GATEWAY)
    status, output = await commands.run_bare(
        "models", "--url", commands.gateway.base_url, GATEWAY_API_KEY=KEY
    )
    assert status == 0, output


async def test_the_key_goes_to_a_gateway_on_this_machine(commands: Commands) -> None:
    """Whichever port the folder's configuration names."""
    (commands.folder / "config.toml").write_text(f"[server]\nport = {commands.gateway.port}\n")
    status, output = await commands.run_bare("models", GATEWAY_API_KEY=KEY)
    assert status == 0, output


@pytest.mark.parametrize("command", ["serve", "check", "init"])
async def test_lm_studios_token_is_not_sent_where_the_folder_says(tmp_path: Path, command: str) -> None:
    """serve doesn't start, check says that it wouldn't, and init doesn't look there."""
    if command == "init":
        (tmp_path / ".env").write_text(f"LMSTUDIO_BASE_URL=http://{HOST}:1234\n")
    else:
        (tmp_path / "config.toml").write_text(STUDIO)
    status, output = await run(command, cwd=tmp_path, LMSTUDIO_API_TOKEN=TOKEN, GATEWAY_PORT="8002")
    assert status == 78
    [line] = output.splitlines()
    for named in ("environment (LMSTUDIO_API_TOKEN)", "lmstudio.base_url", HOST):
        assert named in line
    assert TOKEN not in line


async def test_a_reload_sends_the_token_nowhere_else(tmp_path: Path) -> None:
    """A folder that changes while the gateway runs is judged again; the configuration before stays."""
    (tmp_path / "config.toml").write_text("")
    environ = {"LMSTUDIO_API_TOKEN": TOKEN, "GATEWAY_PORT": "0", "GATEWAY_HOST": "127.0.0.1"}
    async with lmgateway("serve", cwd=tmp_path, **environ) as process:
        await process.port()
        (tmp_path / "config.toml").write_text(STUDIO)
        process.send(signal.SIGHUP)
        said = await process.says("the configuration is unchanged")
    assert f"isn't sent to {HOST}" in said


async def test_doctor_reports_what_it_doesnt_send(tmp_path: Path) -> None:
    """It goes on with its other checks, without the key and the token."""
    (tmp_path / "config.toml").write_text(GATEWAY + STUDIO)
    (tmp_path / "config.toml").chmod(0o600)
    status, output = await run("doctor", cwd=tmp_path, LMSTUDIO_API_TOKEN=TOKEN, GATEWAY_API_KEY=KEY)
    assert status == 1
    for secret in ("auth.api_key", "lmstudio.api_token"):
        assert f"{secret}, which environment" in output
    assert f"Nothing answers at http://{HOST}:1234." in output


@pytest.mark.parametrize("command", [["check"], ["models", "--url", "http://127.0.0.1:9"]])
async def test_a_file_that_every_user_can_write_is_named(tmp_path: Path, command: list[str]) -> None:
    """On stderr, in one line, by every command that reads it."""
    (tmp_path / "config.toml").write_text("")
    (tmp_path / "config.toml").chmod(0o666)
    _, output = await run(*command, cwd=tmp_path)
    named = f"lmgateway: The settings in {tmp_path / 'config.toml'} may be another user's:"
    assert [line.startswith(named) for line in output.splitlines()].count(True) == 1


@asynccontextmanager
async def redirecting(target: str, status: str) -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        server.script = answer(status=status, extra=f"Location: {target}\r\n")
        yield server


STATUSES = ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("key", ["", KEY], ids=["no key", "key"])
async def test_a_redirect_is_not_followed(upstream: ScriptedUpstream, status: str, key: str) -> None:
    """It says where it leads; the other server is asked nothing."""
    async with (
        redirecting(f"{upstream.base_url}/admin/models", status) as server,
        gateway_client(server.base_url, key) as gateway,
    ):
        for request in (
            gateway.request("GET", "/admin/models"),
            gateway.request("POST", "/admin/models/load", {}),
        ):
            with pytest.raises(
                RequestFailed, match=f"redirects to {upstream.base_url}/admin/models"
            ) as failed:
                await request
            assert failed.value.exit_status == 69
        with pytest.raises(RequestFailed, match="redirects to"):
            await anext(gateway.events())
    assert upstream.received == []


async def test_where_a_redirect_leads_is_printed_clean(upstream: ScriptedUpstream) -> None:
    """The other server chooses the text, which must not act on the terminal, or fill it."""
    async with (
        redirecting("http://x/\x1b]0;title\x07" + "y" * 5000, "302 Found") as server,
        gateway_client(server.base_url, KEY) as gateway,
    ):
        with pytest.raises(RequestFailed) as failed:
            await gateway.request("GET", "/admin/models")
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 1000


def greeting_first(leads_to: str) -> Callable[..., object]:
    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greets = request.target == "/lmstudio-greeting"
        await (
            answer(b'{"lmstudio": true}')
            if greets
            else answer(status="307 Temporary Redirect", extra=f"Location: {leads_to}{request.target}\r\n")
        )(request, reader, writer)

    return script


async def test_lm_studios_token_follows_no_redirect(upstream: ScriptedUpstream) -> None:
    async with scripted_upstream() as server:
        server.script = greeting_first(upstream.base_url)  # type: ignore[assignment]
        found = await discovery.probe(URL(server.base_url), TOKEN)
        assert (found.kind, found.models) == ("lm_studio", ())
        assert not await discovery.is_gateway(URL(server.base_url))
    assert upstream.received == []


async def test_no_proxy_and_no_netrc(commands: Commands, upstream: ScriptedUpstream) -> None:
    """The environment's proxy is for the internet; it would be sent the key."""
    (commands.folder / ".netrc").write_text("default login user password something\n")
    environ = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), upstream.base_url)
    status, output = await commands.run("models", HOME=str(commands.folder), **environ)
    assert status == 0, output
    assert upstream.received == []
