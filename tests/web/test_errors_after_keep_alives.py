"""What fails after the keep-alives of a stream: an event of its API, and a connection that breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from lmgateway.observe import access_log
from lmgateway.observe.access_log import AccessLine
from lmgateway.observe.record import RequestRecord
from lmgateway.web import proxy
from lmgateway.web.state import ACTIVITY
from tests.conftest import StartGateway
from tests.support.gateway import Gateway
from tests.support.held_streams import (
    CHAT,
    COMPLETIONS,
    FOR_CODEX,
    KEEP_ALIVES,
    KEEPALIVE_MS,
    MESSAGES,
    NATIVE,
    RESPONSES,
    STREAM,
    held,
    stream_request,
    waiting,
)
from tests.support.keys import OWNER, call, make_key, revoke_key
from tests.support.ports import reserved_port
from tests.support.raw_client import raw_client
from tests.support.upstream import STREAM_HEAD, Script, ScriptedUpstream, answer, raw, silent
from tests.support.waiting import PATIENCE_SECONDS, until

OFTEN = {"keepalive_ms": KEEPALIVE_MS}
AUTH = {"api_key": OWNER}
OWNERS = b"Authorization: Bearer " + OWNER.encode()
# LM Studio's words, which reach the client whole.
WORDS = "No models loaded. Please load a model."
SENTENCE = "The gateway failed; its log says why, under this request's id."


def event(received: bytes) -> tuple[str, Any]:
    """Return the only event's name, "" without one, and its data."""
    assert received.endswith(b"\n\n")
    *name, data = received.removesuffix(b"\n\n").decode().split("\n")
    assert all(line.startswith("event: ") for line in name)
    assert len(name) < 2
    return "".join(name).removeprefix("event: "), json.loads(data.removeprefix("data: "))


@dataclass
class Ended:
    """`lines` and `records` are of the whole gateway."""

    name: str
    data: Any
    lines: list[AccessLine] = field(default_factory=list)
    records: list[RequestRecord] = field(default_factory=list)


Fail = Callable[[Gateway], Awaitable[object]]


class Failing:
    """A gateway's stream that fails while its client gets keep-alives."""

    def __init__(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gateway, self._lines, self._records = gateway, list[AccessLine](), list[RequestRecord]()
        gateway.app[ACTIVITY].add_consumer(self._records.append)
        monkeypatch.setattr(access_log, "write", self._lines.append)

    async def stream(
        self, fail: Fail, path: str = CHAT, *lines: bytes, keep_alive: bytes | None = None
    ) -> Ended:
        async with raw_client(self.gateway.port) as client:
            asked = stream_request(path, *(lines or (OWNERS,)))
            stream = await waiting(client, asked, keep_alive or KEEP_ALIVES[path])
            await fail(self.gateway)
            name, data = event(await stream.broken_rest())
        await until(lambda: any(line.path == path for line in self._lines))
        self.gateway.app[ACTIVITY].flush()
        return Ended(name, data, [line for line in self._lines if line.path == path], self._records)


@pytest.fixture
def gate() -> asyncio.Event:
    """LM Studio does nothing before this is set."""
    return asyncio.Event()


async def failing(
    start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch, base_url: str, **tables: Any
) -> Failing:
    gateway = await start_gateway(base_url, queue=OFTEN, auth=AUTH, **tables)
    return Failing(gateway, monkeypatch)


def opens(gate: asyncio.Event) -> Fail:
    async def fail(_gateway: Gateway) -> None:
        gate.set()

    return fail


FULL = {"message": WORDS, "type": "model_error", "param": None, "code": "no_model"}
OPENAI = {"message": WORDS, "type": "invalid_request_error", "param": None, "code": "lm_studio_error"}
REFUSALS = [
    pytest.param({"error": FULL}, "400 Bad Request", FULL, id="with its names"),
    pytest.param({"error": WORDS}, "400 Bad Request", OPENAI, id="a sentence"),
    pytest.param({"error": {"message": WORDS, "code": 7}}, "422 Odd", OPENAI, id="odd names"),
    pytest.param({"error": WORDS}, "404 Not Found", OPENAI | {"type": "not_found_error"}, id="404"),
    pytest.param({"error": WORDS}, "503 Busy", OPENAI | {"type": "api_error"}, id="503"),
    pytest.param(
        "<p>Oops</p>",
        "500 Oops",
        OPENAI | {"type": "api_error", "message": "LM Studio answered with status 500."},
        id="no JSON",
    ),
]


@pytest.mark.parametrize(("body", "status", "error"), REFUSALS)
async def test_lm_studios_error_keeps_its_words(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
    body: object,
    status: str,
    error: object,
) -> None:
    """Its record is that of the same error before the keep-alives: LM Studio's status, and counted once."""
    upstream.script = held(gate, answer(json.dumps(body).encode(), status=status))
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    ended = await gateway.stream(opens(gate))
    assert (ended.name, ended.data) == ("", {"error": error})
    (record,), (line,) = ended.records, ended.lines
    number = int(status.split(" ")[0])
    is_failure = number >= 500
    assert record.status == number
    assert (record.outcome, record.counts_as) == (
        ("failed", "error") if is_failure else ("completed", "request")
    )
    assert line.status == 200  # which the client has got
    assert line.error_code == ended.data["error"]["code"]
    assert len(upstream.received) == 1


@pytest.mark.parametrize(("body", "status", "_error"), REFUSALS)
async def test_before_keep_alives_it_is_lm_studios_own(
    start_gateway: StartGateway, upstream: ScriptedUpstream, body: object, status: str, _error: object
) -> None:
    """With its status, byte for byte."""
    sent = json.dumps(body).encode()
    upstream.script = answer(sent, status=status)
    gateway = await start_gateway(upstream.base_url)
    async with raw_client(gateway.port) as client:
        answered = await client.ask(stream_request(CHAT))
    assert (answered.status, answered.body) == (int(status.split(" ")[0]), sent)


@pytest.mark.parametrize(
    ("then", "code", "words", "counts_as"),
    [
        pytest.param(answer(b'{"id": 1}'), "upstream_broke", "without a stream", "error", id="plain JSON"),
        pytest.param(answer(b'{"error": "Oops!"}'), "upstream_broke", "Oops!", "error", id="an error as 200"),
        pytest.param(
            answer(b"", content_type="text/event-stream"), "upstream_broke", "is empty", "error", id="empty"
        ),
        pytest.param(
            answer(b"\x1f\x8b", content_type="text/event-stream", extra="Content-Encoding: gzip\r\n"),
            "upstream_broke",
            "without a stream",
            "error",
            id="compressed",
        ),
        pytest.param(raw(b""), "upstream_broke", "closed the connection", "error", id="closed"),
        pytest.param(raw(STREAM_HEAD), "upstream_broke", "broke off", "error", id="closed after its head"),
        pytest.param(
            answer(b'{"error": "Context size has been exceeded."}', status="400 Bad Request"),
            "context_length_exceeded",
            "maximum context length",
            "request",
            id="overflow",
        ),
        pytest.param(
            answer(b'{"error": "Unexpected endpoint or method. (POST /v1/chat/completions)"}'),
            "endpoint_not_found",
            "no endpoint",
            "request",
            id="no such endpoint",
        ),
    ],
)
@pytest.mark.parametrize("mend", [True, False])
async def test_other_answers_are_errors(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
    then: Script,
    code: str,
    words: str,
    counts_as: str,
    mend: bool,
) -> None:
    """What isn't a stream can't follow keep-alives, and must not look like an empty answer."""
    upstream.script = held(gate, then)
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url, compat={"mend": mend})
    ended = await gateway.stream(opens(gate))
    (record,) = ended.records
    error = ended.data["error"]
    if not mend and counts_as == "request":  # then LM Studio's words stand as they are
        assert error["code"] in {"lm_studio_error", "upstream_broke"}
        return
    assert (error["code"], record.counts_as) == (code, counts_as)
    assert words in error["message"]
    assert ended.lines[0].error_code == code


async def _cancel(gateway: Gateway) -> None:
    (running,) = gateway.app[ACTIVITY].running
    await call(gateway, "DELETE", f"/debug/requests/{running.request_id}")


async def _end(gateway: Gateway) -> None:
    """What a drain does at its deadline."""
    for connection in gateway.limits.connections:
        connection.interrupt()


async def _nothing(_gateway: Gateway) -> None:
    """It fails by itself."""


@pytest.mark.parametrize(
    ("fail", "tables", "status", "code", "outcome"),
    [
        pytest.param(_cancel, {}, 400, "request_cancelled", "cancelled", id="cancelled by an admin"),
        pytest.param(_end, {}, 503, "gateway_ending", "failed", id="the gateway stops"),
        pytest.param(
            _nothing,
            {"proxy": {"stream_timeout_ms": 150}},
            504,
            "upstream_timeout",
            "failed",
            id="silence",
        ),
    ],
)
async def test_ends_of_the_gateways(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    fail: Fail,
    tables: dict[str, Any],
    status: int,
    code: str,
    outcome: str,
) -> None:
    """The event has the error, and its record the status which the client would have got."""
    upstream.script = silent
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url, **tables)
    ended = await gateway.stream(fail)
    (record,) = ended.records
    assert ended.data["error"]["code"] == code
    assert (record.status, record.error_code, record.outcome) == (status, code, outcome)
    assert (ended.lines[0].status, ended.lines[0].error_code) == (200, code)
    await asyncio.wait_for(upstream.gone.get(), PATIENCE_SECONDS)


async def test_revoked_key(
    start_gateway: StartGateway, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 401 by now, as for a request that begins."""
    upstream.script = silent
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    key = await make_key(gateway.gateway)
    ended = await gateway.stream(revoke_key, CHAT, b"Authorization: Bearer " + key.encode())
    assert ended.data["error"]["code"] == "invalid_api_key"
    assert ended.records[0].status == 401


async def test_unreachable(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The retry's pause is longer than this client waits for its first keep-alive."""
    with reserved_port() as (port, _reserved):
        # With residency the request isn't sent: no list has its model.
        url, off = f"http://127.0.0.1:{port}", {"enabled": False}
        gateway = await failing(start_gateway, monkeypatch, url, residency=off)
        ended = await gateway.stream(_nothing)
    assert (ended.data["error"]["code"], ended.records[0].status) == ("upstream_unavailable", 503)


async def test_bug(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
) -> None:
    """Its details are in the log only."""

    async def fails(*_arguments: object) -> None:
        await gate.wait()
        raise LookupError("a fault")

    monkeypatch.setattr(proxy, "deliver", fails)
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    ended = await gateway.stream(opens(gate))
    error = {"message": SENTENCE, "type": "api_error", "param": None, "code": "internal_error"}
    assert ended.data == {"error": error}
    assert (ended.records[0].status, ended.records[0].outcome) == (500, "failed")


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, MESSAGES, RESPONSES, NATIVE])
async def test_each_api_has_its_own_event(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
    path: str,
) -> None:
    """The one that its clients report as an exception."""
    upstream.script = held(gate, answer(json.dumps({"error": FULL}).encode(), status="400 Bad Request"))
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    ended = await gateway.stream(opens(gate), path, OWNERS, b"X-Request-Id: mine")
    reason = {"type": "model_error", "message": WORDS}
    flat = {"sequence_number": 0, "code": "no_model", "message": WORDS, "param": None}
    expected = {
        CHAT: ("", {"error": FULL}),
        COMPLETIONS: ("", {"error": FULL}),
        MESSAGES: ("error", {"type": "error", "error": reason, "request_id": "mine"}),
        RESPONSES: ("error", {"type": "error", **flat, "error": FULL}),
        NATIVE: ("error", {"type": "error", "error": {**reason, "code": "no_model"}}),
    }
    assert (ended.name, ended.data) == expected[path]


async def test_codex_reads_another_one(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
) -> None:
    """Of `error` it takes no notice."""
    upstream.script = held(gate, answer(json.dumps({"error": FULL}).encode(), status="400 Bad Request"))
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    lines = OWNERS, b"Originator: codex_exec"
    ended = await gateway.stream(opens(gate), RESPONSES, *lines, keep_alive=FOR_CODEX)
    assert (ended.name, ended.data["type"]) == ("response.failed", "response.failed")
    assert ended.data["response"]["error"] == {"code": "no_model", "message": WORDS}


async def test_a_key_in_the_words_is_removed(
    start_gateway: StartGateway,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
    gate: asyncio.Event,
) -> None:
    """LM Studio may quote a request, and in it the key."""
    refusal = json.dumps({"error": f"Bad header {OWNER}"}).encode()
    upstream.script = held(gate, answer(refusal, status="400 Bad Request"))
    gateway = await failing(start_gateway, monkeypatch, upstream.base_url)
    ended = await gateway.stream(opens(gate))
    assert ended.data["error"]["message"].startswith("Bad header ")
    assert OWNER not in ended.data["error"]["message"]


async def test_http_clients_raise(
    start_gateway: StartGateway, upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    """A response without its last chunk is an error of every HTTP library."""
    upstream.script = held(gate, answer(b'{"error": "No"}', status="400 Bad Request"))
    gateway = await start_gateway(upstream.base_url, queue=OFTEN)
    async with gateway.client.post(gateway.url(CHAT), json=STREAM) as response:
        assert response.status == 200
        assert await response.content.readuntil(b"\n\n") == KEEP_ALIVES[CHAT]
        gate.set()
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
