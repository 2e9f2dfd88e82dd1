"""LM Studio is detected at its addresses, and distinguished from other servers."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from yarl import URL

from lmgateway.cli import lm_studio_home
from lmgateway.cli.discovery import USUAL_PORTS, Model, ProbeResult, likely_ports, probe, search
from lmgateway.simulator import Simulator, serve
from tests.support.upstream import Received, ScriptedUpstream, answer

MODEL = "llama-3.2-3b-instruct"
TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"


# Deeper than Python's JSON parsers go.
NESTED = b"[" * 3000 + b"]" * 3000


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_finds_it_on_either_loopback_address(host: str, unused_tcp_port: int) -> None:
    """With its models, beside a port where nothing listens."""
    async with serve(Simulator(), host, 0) as port:
        seen = (await search(ports=(unused_tcp_port, port), application_ports=())).server
    assert seen is not None
    assert (seen.base_url.host, seen.base_url.port) == (host, port)
    assert MODEL in {model.id for model in seen.models}
    assert seen.date is not None


async def test_models_are_what_can_be_loaded() -> None:
    """By their keys, whatever their instances are called; older versions know less."""
    simulator = Simulator()
    simulator.load(MODEL, "mine")
    async with serve(simulator, "127.0.0.1", 0) as port:
        seen = await probe(URL(f"http://127.0.0.1:{port}"))
    assert len(seen.models) == 6
    assert seen.chat_model == MODEL


async def test_an_older_version_is_asked_in_its_way(upstream: ScriptedUpstream) -> None:
    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies = {
            "/lmstudio-greeting": b'{"lmstudio": true}',
            "/api/v0/models": b'{"data": [{"id": "old", "type": "llm"}]}',
        }
        unknown = b'{"error": "Unexpected endpoint or method."}'
        await answer(bodies.get(request.target, unknown))(request, reader, writer)

    upstream.script = script
    assert (await probe(URL(upstream.base_url))).models == (Model("old", "llm"),)


async def test_takes_the_first_port_that_fits(upstream: ScriptedUpstream) -> None:
    """Another server on a port is skipped, and the ports are tried in order."""
    upstream.script = answer(b"<html>")
    other = URL(upstream.base_url).port
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(serve(Simulator(), "127.0.0.1", 0)) for _ in range(2)
        ]
        seen = (await search(ports=(other, second, first), application_ports=())).server
    assert seen is not None
    assert seen.base_url.port == second


async def test_sees_that_only_the_server_is_missing(unused_tcp_port: int) -> None:
    """The application answers the SDK on ports of its own."""
    async with serve(Simulator(), "127.0.0.1", 0) as port:
        result = await search(ports=(unused_tcp_port,), application_ports=(port,))
    assert (result.server, result.runs_without_server) == (None, True)
    result = await search(ports=(unused_tcp_port,), application_ports=())
    assert (result.server, result.runs_without_server) == (None, False)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"lmstudio": false}', b'{"ok": true}', b"\xff", NESTED, b"9" * 5000],
)
async def test_others_are_not_lm_studio(upstream: ScriptedUpstream, body: bytes) -> None:
    """Whatever their response; LM Studio's token is not sent to them."""
    upstream.script = answer(body)
    assert (await probe(URL(upstream.base_url), TOKEN)).kind == "other"
    assert upstream.last.target == "/lmstudio-greeting"
    assert upstream.last.one("Authorization") is None


@pytest.mark.parametrize("date", ["never", "Mon, 30 Nov 99999999999 10:00:00 GMT"])
@pytest.mark.parametrize("models", [NESTED, b'{"models": %s}' % NESTED, b'{"data": 1e999}', b"\xff"])
async def test_an_odd_list_or_date_is_unknown(upstream: ScriptedUpstream, models: bytes, date: str) -> None:
    async def script(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_greeting = request.target == "/lmstudio-greeting"
        body = b'{"lmstudio": true}' if is_greeting else models
        await answer(body, extra=f"Date: {date}\r\n")(request, reader, writer)

    upstream.script = script
    seen = await probe(URL(upstream.base_url))
    assert (seen.kind, seen.models, seen.date) == ("lm_studio", (), None)


@pytest.mark.parametrize(
    ("folder", "text", "first"),
    [
        (".lmstudio", json.dumps({"port": 4321}), (4321,)),
        (".cache/lm-studio", json.dumps({"port": 4321}), (4321,)),
        (".lmstudio", json.dumps({"port": "4321"}), ()),
        (".lmstudio", json.dumps({"port": 70000}), ()),
        (".lmstudio", json.dumps([]), ()),
        (".lmstudio", "{", ()),
        ("elsewhere", "", ()),
    ],
)
def test_ports_of_lm_studios_own_settings(
    tmp_path: Path, folder: str, text: str, first: tuple[int, ...]
) -> None:
    """The configured port comes first; unusable settings are ignored."""
    path = tmp_path / folder / ".internal" / "http-server-config.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert likely_ports(tmp_path) == (*first, *USUAL_PORTS)


@pytest.mark.parametrize(
    ("pointer", "places", "home"),
    [
        (None, (), ".lmstudio"),
        (None, (".lmstudio",), ".lmstudio"),
        (None, (".lmstudio", ".cache/lm-studio"), ".cache/lm-studio"),
        ("{}/data/lm studio\n", (".lmstudio", ".cache/lm-studio"), "data/lm studio"),
        ("{}/data/lm studio", (), "data/lm studio"),
        (" \n", (".lmstudio",), ".lmstudio"),
        ("", (".cache/lm-studio",), ".cache/lm-studio"),
    ],
)
def test_lm_studios_home(tmp_path: Path, pointer: str | None, places: tuple[str, ...], home: str) -> None:
    """The folder that its pointer file names, else the older one if it is there, else the newer one."""
    if pointer is not None:
        (tmp_path / ".lmstudio-home-pointer").write_text(pointer.format(tmp_path))
    for place in places:
        (tmp_path / place).mkdir(parents=True)
    assert lm_studio_home.find(tmp_path) == tmp_path / home
    assert lm_studio_home.log_folder(tmp_path) is None
    (tmp_path / home / "server-logs").mkdir(parents=True)
    assert lm_studio_home.log_folder(tmp_path) == tmp_path / home / "server-logs"


@pytest.mark.parametrize("pointer", [b"\xff\0\n", b"x" * 100_000, b"/proc/self/mem", None])
def test_an_odd_pointer_stops_nothing(tmp_path: Path, pointer: bytes | None) -> None:
    """The settings elsewhere are still read; a folder isn't a pointer."""
    path = tmp_path / ".lmstudio-home-pointer"
    if pointer is None:
        path.mkdir()
    else:
        path.write_bytes(pointer)
    settings = tmp_path / ".lmstudio" / ".internal" / "http-server-config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"port": 4321}')
    assert likely_ports(tmp_path) == (4321, *USUAL_PORTS)
    assert lm_studio_home.log_folder(tmp_path) is None


def test_the_ports_of_the_home_that_the_pointer_names(tmp_path: Path) -> None:
    """They come first."""
    for folder, port in (("elsewhere", 1111), (".lmstudio", 2222)):
        settings = tmp_path / folder / ".internal" / "http-server-config.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps({"port": port, "networkInterface": "127.0.0.1"}))
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "elsewhere"))
    assert likely_ports(tmp_path) == (1111, 2222, *USUAL_PORTS)


ON_DISK, WITH_TOOLS = Model("a", "llm", "not-loaded"), Model("b", "llm", "not-loaded", ("tool_use",))
LOADED, EMBEDDING = Model("c", "vlm", "loaded"), Model("d", "embeddings", "loaded")
UNPRINTABLE = Model("\x1b[2J", "llm", "loaded")


@pytest.mark.parametrize(
    ("models", "name"),
    [
        ((), None),
        ((EMBEDDING,), None),
        ((EMBEDDING, UNPRINTABLE, ON_DISK), "a"),
        ((ON_DISK, WITH_TOOLS), "b"),
        ((WITH_TOOLS, LOADED), "c"),
    ],
)
def test_model_to_try_first(models: tuple[Model, ...], name: str | None) -> None:
    """One that is in memory, one that can call tools, and none that would write to the terminal."""
    assert ProbeResult(base_url=URL("http://127.0.0.1"), kind="lm_studio", models=models).chat_model == name
