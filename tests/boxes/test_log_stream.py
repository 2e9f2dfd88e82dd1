"""LM Studio's log over its SDK's socket, from a server of which a test chooses every frame."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from yarl import URL

from lmgateway.boxes.log.monitor import LogMonitor
from lmgateway.boxes.log.publisher import Publisher
from lmgateway.boxes.log.stream import LogStream
from lmgateway.boxes.origin import Origin
from lmgateway.config import FilePath, LMStudio
from lmgateway.observe.event_stream import Events
from tests.boxes.following import Published
from tests.boxes.log_server import MILLISECONDS, LogServer, record
from tests.boxes.test_log_llama_server import CHAT, EXPECTED, SAMPLE, STAMP
from tests.support.raw_server import raw_server
from tests.support.waiting import until

TOKEN = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
PAUSE_SECONDS = 0.01
SECRET = "a prompt that is nobody's business"
CREATE = {"type": "channelCreate", "endpoint": "streamLogs", "channelId": 1}
STOP = {"type": "channelSend", "channelId": 1, "message": {"type": "stop"}}

Read = Callable[..., AbstractAsyncContextManager[asyncio.Task[None]]]


@pytest.fixture
async def server() -> AsyncIterator[LogServer]:
    server = LogServer()
    async with server.serving():
        yield server


@pytest.fixture
def published() -> Published:
    return Published()


@pytest.fixture
def read(published: Published) -> Read:
    """Follow the log at an address, by default without a token."""

    def start(base_url: URL, token: str = "") -> AbstractAsyncContextManager[asyncio.Task[None]]:
        def work(publisher: Publisher):  # type: ignore[no-untyped-def]
            return LogStream(Origin(base_url, token), publisher, pause_seconds=PAUSE_SECONDS).run()

        return published.by(work)

    return start


def reports(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (one.levelname, one.getMessage())
        for one in caplog.records
        if one.name.startswith("lmgateway.boxes.log")
    ]


async def test_a_record_of_today(server: LogServer, read: Read, published: Published) -> None:
    """Its content is the whole line with stamp and tag, as in a file."""
    line = f"[2026-07-29 13:41:23][INFO][openai/gpt-oss-120b] {CHAT}"
    async with read(server.base_url):
        channel = await server.channel()
        await channel.send_json(record(line))
        await until(lambda: len(published.events) == 2)
        (log, start) = published.events
    assert log == (
        "debug_log",
        {
            "timestamp": "2026-07-29 13:41:23",
            "level": "INFO",
            "message": line.removeprefix("[2026-07-29 13:41:23][INFO]"),
            "raw": line,
        },
    )
    assert (start[0], start[1]["message"]) == ("lmstudio_chat_start", CHAT)


@pytest.mark.parametrize(
    ("content", "level", "raw"),
    [
        ("[m] Streaming response...", "info", "[{}][INFO][m] Streaming response..."),
        ("[LM STUDIO SERVER] x", "error", "[{}][ERROR][LM STUDIO SERVER] x"),
        ("Generate: n_keep = 2\n", "debug", "[{}][DEBUG] Generate: n_keep = 2"),
        ("x", "]", "[{}][INFO] x"),
        ("x", None, "[{}][INFO] x"),
        ("half \ud800 character", "warn", "[{}][WARN] half \ufffd character"),
    ],
)
async def test_a_record_of_an_older_version(
    server: LogServer, read: Read, published: Published, content: str, level: object, raw: str
) -> None:
    """It has its time and level beside the content, from which the line of the file is made."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(MILLISECONDS / 1000))
    async with read(server.base_url):
        channel = await server.channel()
        await channel.send_json(record(content, level=level))
        await until(lambda: published.events)
        assert published.events[0][1]["raw"] == raw.format(stamp)
        assert published.events[0][1]["timestamp"] == stamp


async def test_the_events_are_those_of_a_file(server: LogServer, read: Read, published: Published) -> None:
    """Each record in a frame of its own, with its continuation lines."""
    records = [f"[{STAMP}]{text}" for text in SAMPLE.rstrip("\n").split(f"[{STAMP}]")[1:]]
    async with read(server.base_url):
        channel = await server.channel()
        for one in records:
            await channel.send_json(record(one))
        await until(lambda: len(published.events) == SAMPLE.count("\n") + len(EXPECTED))
    seen = [(name, {**fields, "timestamp": ""}) for name, fields in published.events if name != "debug_log"]
    assert seen == [(name, {**fields, "timestamp": ""}) for name, fields in EXPECTED]


async def test_values_of_several_records(server: LogServer, read: Read, published: Published) -> None:
    """They are published together, after a quiet period, as from a file."""
    async with read(server.base_url):
        channel = await server.channel()
        for content in ("Sampling params:", "top_k = 1\n\ttemp = 0.500"):
            await channel.send_json(record(content, level="debug"))
        await until(lambda: len(published.events) == 4)
        name, fields = published.events[-1]
    assert (name, fields["top_k"], fields["temp"]) == ("lmstudio_sampling_params", 1, 0.5)


@pytest.mark.parametrize(
    "frame",
    [
        record(SECRET, "llm.prediction.input", input=SECRET),
        record(SECRET, "llm.prediction.output", output=SECRET),
        record(SECRET, "runtime.log"),
        record(None),
        record({"a": SECRET}),
        record(SECRET, None),
        {"type": "channelSend", "channelId": 2, "message": record(SECRET)["message"]},
        {"type": "channelSend", "channelId": 1, "message": None},
        {"type": "channelSend", "channelId": 1, "message": {"type": "log", "log": [SECRET]}},
        {"type": "channelSend", "channelId": 1, "message": {"type": "log", "log": {"data": None}}},
        {"type": "keepAliveAck"},
        None,
        [],
        SECRET,
        1e999,
    ],
)
async def test_other_frames_are_skipped(
    server: LogServer, read: Read, published: Published, caplog: pytest.LogCaptureFixture, frame: object
) -> None:
    """A record with a whole prompt or answer is never shown, and nothing malformed ends the connection."""
    async with read(server.base_url):
        channel = await server.channel()
        await channel.send_json(frame)
        await channel.send_str("{")
        await channel.send_str("[" * 5000 + "]" * 5000)
        await channel.send_bytes(json.dumps(record(SECRET)).encode())
        await channel.send_json({**record("next"), "more": {"fields": [1]}})
        await until(lambda: published.events)
    assert published.messages == ["next"]
    assert SECRET not in caplog.text
    assert server.connections == 1


@pytest.mark.parametrize("timestamp", [None, -1, 1e300, "x", 10**15, [], True])
async def test_an_odd_time_is_now(
    server: LogServer, read: Read, published: Published, timestamp: object
) -> None:
    """The line is published all the same."""
    frame = record("x")
    frame["message"]["log"]["timestamp"] = timestamp  # type: ignore[index]
    async with read(server.base_url):
        channel = await server.channel()
        await channel.send_json(frame)
        await until(lambda: published.events)
        shown = time.strptime(published.events[0][1]["timestamp"], "%Y-%m-%d %H:%M:%S")
    assert abs(time.mktime(shown) - time.time()) < 60


async def test_a_quotation_ends_with_its_record(server: LogServer, read: Read, published: Published) -> None:
    """A body without its last line, as a truncated record has, hides no later events."""
    async with read(server.base_url):
        channel = await server.channel()
        await channel.send_json(
            record(f"[{STAMP}][DEBUG] Received request: POST to /v1/x with body {{\n  half")
        )
        await channel.send_json(record(f"[{STAMP}][INFO][m] Prompt processing progress: 37.5%"))
        await until(lambda: len(published.events) == 4)
        assert published.events[-1][1]["progress"] == 37.5


async def test_the_token_goes_into_the_handshake(server: LogServer, read: Read) -> None:
    """In two halves, as LM Studio's SDKs send it; a channel takes no creation parameter."""
    async with read(server.base_url, TOKEN):
        await server.channel()
    halves = {"clientIdentifier": "ABCDEFGH", "clientPasskey": "ABCDEFGHIJKLMNOPQRST"}
    assert server.received[0] == {"authVersion": 1, **halves}
    assert server.received[1] == CREATE


async def test_the_token_isnt_sent_elsewhere(server: LogServer, read: Read) -> None:
    """A redirect isn't followed: it may lead to any server."""
    asked = asyncio.Event()

    async def redirect(_: web.Request) -> web.Response:
        asked.set()
        return web.HTTPFound(f"{server.base_url}/diagnostics")

    other = LogServer()
    other.connect = redirect  # type: ignore[method-assign,assignment]
    async with other.serving(), read(other.base_url, TOKEN):
        await asyncio.wait_for(asked.wait(), 5)
        asked.clear()
        await asyncio.wait_for(asked.wait(), 5)
    assert (server.connections, server.received) == (0, [])


async def test_lm_studio_isnt_running(
    read: Read, published: Published, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried again, in silence after the first time, and followed as soon as it is there."""
    caplog.set_level(logging.INFO)
    server = LogServer()
    async with server.serving():
        pass
    async with read(server.base_url):
        await until(lambda: reports(caplog))
        async with server.serving():
            channel = await server.channel()
            await channel.send_json(record("x"))
            await published.receives("x")
    assert [level for level, _ in reports(caplog)] == ["WARNING", "INFO"]
    assert "can't be reached" in reports(caplog)[0][1]


async def test_a_lost_connection_is_made_again(server: LogServer, read: Read, published: Published) -> None:
    """LM Studio's end, a restart of it, and a message that is too long."""
    async with read(server.base_url):
        channel = await server.channel()
        await channel.close()
        channel = await server.channel()
        with suppress(ConnectionError):
            await channel.send_json(record("x" * 5 * 2**20))
        channel = await server.channel()
        await channel.send_json(record("y"))
        await published.receives("y")


async def test_a_refusal_is_reported_once(
    read: Read, server: LogServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Though it is tried again: the token may be made in LM Studio meanwhile. Its words aren't repeated."""
    server.verdict = {"success": False, "error": SECRET}
    async with read(server.base_url):
        await until(lambda: server.connections >= 3)
    ((level, report),) = reports(caplog)
    assert level == "WARNING"
    assert "set lmstudio.api_token" in report
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "communicationWarning", "warning": SECRET, "kind": "channelEndpointUnknown"},
        {"type": "channelError", "channelId": 1, "error": {"title": SECRET}},
        {"type": "channelClose", "channelId": 1},
    ],
)
async def test_a_version_without_the_channel(
    read: Read, server: LogServer, caplog: pytest.LogCaptureFixture, frame: object
) -> None:
    """It is reported once."""
    async with read(server.base_url):
        for _ in range(3):
            channel = await server.channel()
            await channel.send_json(frame)
        await server.channel()
    assert len(reports(caplog)) == 1
    assert SECRET not in caplog.text


async def test_the_end_stops_the_channel(server: LogServer, read: Read) -> None:
    """LM Studio is told to stop, and the connection is closed."""
    async with read(server.base_url):
        await server.channel()
    await until(lambda: server.open == 0)
    assert server.received[-1] == STOP


async def test_a_frozen_lm_studio_doesnt_delay_the_end(read: Read) -> None:
    """A connection that is accepted and never answered is given up at once."""
    reached = asyncio.Event()

    async def freeze(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    async with raw_server(freeze) as port, read(URL(f"http://127.0.0.1:{port}")) as task:
        await asyncio.wait_for(reached.wait(), 5)
        began = asyncio.get_running_loop().time()
        task.cancel()
        await asyncio.wait([task])
        assert asyncio.get_running_loop().time() - began < 1


async def test_a_reload(server: LogServer, tmp_path: Path) -> None:
    """The connection is kept if address and token are the same, else closed, and another one is made."""
    config = LMStudio(base_url=server.base_url, log_monitoring=True)
    monitor = LogMonitor(Events(), lambda _: None)
    monitor.follow(config)
    await server.channel()
    monitor.follow(msgspec.structs.replace(config, call_timeout_ms=1))
    monitor.follow(msgspec.structs.replace(config, api_token=TOKEN))
    await server.channel()
    await until(lambda: server.open == 1)
    assert server.connections == 2
    other = LogServer()
    async with other.serving():
        monitor.follow(msgspec.structs.replace(config, base_url=other.base_url))
        await other.channel()
        await until(lambda: server.open == 0)
        monitor.follow(msgspec.structs.replace(config, log_dir=FilePath(tmp_path)))
        await until(lambda: other.open == 0)
    monitor.follow(config)
    await server.channel()
    monitor.follow(msgspec.structs.replace(config, log_monitoring=False))
    await until(lambda: server.open == 0)
    await monitor.close()


async def test_ten_thousand_records_at_once(server: LogServer, read: Read, published: Published) -> None:
    """A listener that keeps up gets them all."""
    async with read(server.base_url):
        channel = await server.channel()
        for number in range(10_000):
            await channel.send_json(record(str(number)))
        await until(lambda: len(published.messages) >= 10_000)
    assert published.messages == [str(number) for number in range(10_000)]
    assert published.missed == 0
