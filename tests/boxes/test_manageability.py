"""Whether an LM Studio's models can be managed: by its address, and by its greeting."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from yarl import URL

from lmgateway.boxes.box import Box
from lmgateway.boxes.connections import Connections
from lmgateway.boxes.health import Health
from lmgateway.boxes.manageability import GREETING_PATH, Manageability
from lmgateway.config import Config, LMStudio, Queue, Residency
from lmgateway.errors import UpstreamUnavailable
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from tests.support.raw_server import raw_server
from tests.support.upstream import Received, Script, ScriptedUpstream, answer, silent

HERE = LMStudio(base_url=URL("http://127.0.0.1:1234"))
LOGGER = "lmgateway.boxes.manageability"
GREETING = b'{"lmstudio":true}'
LISTS = {"/api/v1/models": b'{"models":[{"key":"a"}]}', "/v1/models": b'{"data":[{"id":"a"}]}'}

MakeBox = Callable[[LMStudio], Box]


@pytest.fixture
async def make_box() -> AsyncIterator[MakeBox]:
    connections = Connections("lmstudio", HERE, Activity(Events(after=0), Metrics(), str))
    connections.open(HERE)
    yield lambda config: Box("lmstudio", config, connections)
    await connections.close()


@pytest.fixture
async def studio() -> AsyncIterator[ScriptedUpstream]:
    """An LM Studio that greets and lists a model. Gateways aren't kept from asking it."""
    scripted = ScriptedUpstream(script=greeting(answer(GREETING)))
    async with raw_server(scripted.serve_connection) as scripted.port:
        yield scripted


def greeting(script: Script) -> Script:
    """Answer a request for the greeting so, and others with the lists."""

    async def respond(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chosen = script if request.target == GREETING_PATH else answer(LISTS[request.target])
        await chosen(request, reader, writer)

    return respond


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def greetings(studio: ScriptedUpstream) -> int:
    return sum(request.target == GREETING_PATH for request in studio.received)


@pytest.mark.parametrize(
    ("status", "body", "is_learned", "is_manageable"),
    [
        (200, GREETING, True, True),
        (200, b' { "lmstudio" : true } ', True, True),
        (200, b'{"error":"Unexpected endpoint or method. (GET /lmstudio-greeting)"}', True, False),
        (200, b'{"lmstudio":"true"}', True, False),
        (200, b"[true]", True, False),
        (200, b"", True, False),
        (404, b"", True, False),
        (302, b"", True, False),
        (405, b"", True, False),
        (401, b"", False, True),
        (403, b"", False, True),
        (429, b"", False, True),
        (502, b"", False, True),
        (503, b"", False, True),
    ],
)
def test_the_greeting_tells_lm_studio(
    status: int, body: bytes, is_learned: bool, is_manageable: bool
) -> None:
    """A refusal, a limit and an error of a proxy's say nothing."""
    known = Manageability(HERE, Health())
    known.greeted(status, body)
    assert (known.needs_greeting, known.obstacle is None) == (not is_learned, is_manageable)


@pytest.mark.parametrize(
    ("base_url", "is_manageable"),
    [
        ("http://box:1234", True),
        ("http://box:1234/", True),
        ("https://box:1234", False),
        ("http://box/studio", False),
    ],
)
async def test_its_sdk_supports_only_plain_http_without_a_path(
    make_box: MakeBox, base_url: str, is_manageable: bool
) -> None:
    """That is known before anything is requested."""
    box = make_box(LMStudio(base_url=URL(base_url)))
    assert box.is_unmanageable is not is_manageable
    assert box.has_residency(Config()) is is_manageable


@pytest.mark.parametrize(
    "config",
    [Config(residency=Residency(enabled=False)), Config(queue=Queue(enabled=False))],
)
async def test_the_configuration_turns_residency_off(make_box: MakeBox, config: Config) -> None:
    """Without the line too."""
    assert not make_box(HERE).has_residency(config)


async def test_the_greeting_is_requested_once(make_box: MakeBox, studio: ScriptedUpstream) -> None:
    """By however many requests, and not again after a reload of the same address."""
    config = LMStudio(base_url=URL(studio.base_url))
    box = make_box(config)
    await asyncio.gather(*[box.list_models() for _ in range(20)])
    assert (greetings(studio), box.is_unmanageable) == (1, False)
    renewed = box.reconfigured(LMStudio(base_url=config.base_url, api_token="sk-lm-new:2"))
    await renewed.list_models()
    assert greetings(studio) == 1
    assert len(studio.received) == 1 + 2 * 2


async def test_another_address_greets_for_itself(make_box: MakeBox, studio: ScriptedUpstream) -> None:
    """What is known of the previous one says nothing about it."""
    old = make_box(LMStudio(base_url=URL("http://127.0.0.1:1/studio")))
    box = old.reconfigured(LMStudio(base_url=URL(studio.base_url)))
    await box.list_models()
    assert (old.is_unmanageable, box.is_unmanageable, greetings(studio)) == (True, False, 1)


async def test_another_server_is_logged_once(
    make_box: MakeBox, studio: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason; what it lists is read all the same."""
    studio.script = greeting(answer(status="404 Not Found"))
    caplog.set_level(logging.INFO, LOGGER)
    box = make_box(LMStudio(base_url=URL(studio.base_url)))
    for _ in range(3):
        assert (await box.list_models()).find("a") is not None
    assert (box.is_unmanageable, greetings(studio)) == (True, 1)
    [line] = logged(caplog)
    assert line.startswith(f"residency is off for {studio.base_url}: the server isn't LM Studio")


async def test_a_path_is_logged_once(
    make_box: MakeBox, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if nothing listens there."""
    caplog.set_level(logging.INFO, LOGGER)
    box = make_box(LMStudio(base_url=URL(f"http://127.0.0.1:{unused_tcp_port}/studio")))
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            await box.list_models()
    [line] = logged(caplog)
    assert "https or has a path" in line


async def test_after_an_outage_it_greets_again(
    make_box: MakeBox, studio: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Another server may have had the port until LM Studio was started."""
    caplog.set_level(logging.INFO, LOGGER)
    studio.script = greeting(answer(status="404 Not Found"))
    box = make_box(LMStudio(base_url=URL(studio.base_url)))
    await box.list_models()
    box.health.record(UpstreamUnavailable("refused"), box.http.base_url)
    assert box.is_unmanageable
    studio.script = greeting(answer(GREETING))
    await box.list_models()
    assert (box.is_unmanageable, greetings(studio)) == (False, 2)
    assert [message.split(" for ")[0] for message in logged(caplog)] == [
        "residency is off",
        "residency is possible",
    ]


@pytest.mark.parametrize("script", [silent, answer(status="401 Unauthorized")])
async def test_no_greeting_says_nothing(
    make_box: MakeBox, studio: ScriptedUpstream, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is requested again with the next list."""
    monkeypatch.setattr("lmgateway.boxes.box.PROBE_SECONDS", 0.05)
    studio.script = greeting(script)
    box = make_box(LMStudio(base_url=URL(studio.base_url)))
    for asked in (1, 2):
        assert (await box.list_models()).find("a") is not None
        assert (greetings(studio), box.is_unmanageable) == (asked, False)
