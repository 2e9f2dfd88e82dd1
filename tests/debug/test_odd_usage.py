"""Figures in LM Studio's answers that no machine can have reached."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import StartGateway
from tests.debug.conftest import usage_of
from tests.support.gateway import Gateway
from tests.support.upstream import STREAM_HEAD, ScriptedUpstream, answer, chunk, raw

HUGE = "1" + "0" * 400
HUGER = "1" + "0" * 5000
ODD = [
    "-1",
    "1e308",
    "1e400",
    "-1e400",
    HUGE,
    HUGER,
    f"-{HUGER}",
    "7.5",
    '"7"',
    "true",
    "null",
    "[]",
    '{"a":1}',
]
ODD += [r'"\ud83d"', "1" + "0" * 30, "[" * 500 + "]" * 500]


def bounded(digits: str) -> float:
    assert abs(float(digits)) < 1e13, digits
    return float(digits)


async def get(gateway: Gateway, path: str) -> Any:
    """Return the JSON, or check the values of the metrics; no number is beyond its bounds."""
    async with gateway.client.get(gateway.url(path)) as response:
        assert response.status == 200, path
        text = await response.text()
    if path != "/metrics":
        return json.loads(text, parse_int=bounded, parse_float=bounded, parse_constant=bounded)
    return [bounded(line.rpartition(" ")[2]) for line in text.splitlines() if not line.startswith("#")]


async def the_books_work(gateway: Gateway) -> dict[str, Any]:
    """Return the last request's row."""
    for path in ("/debug/status", "/debug/metrics", "/metrics"):
        await get(gateway, path)
    headers = {"Last-Event-ID": "0"}
    async with gateway.client.get(gateway.url("/debug/stream"), headers=headers) as response:
        seen = b""
        while b"event: inference_complete" not in seen:
            seen += await asyncio.wait_for(response.content.readuntil(b"\n\n"), 5)
    row: dict[str, Any] = (await get(gateway, "/debug/requests"))["recent"][-1]
    return row


async def ask(gateway: Gateway, path: str = "/v1/chat/completions", **body: object) -> bytes:
    async with gateway.client.post(gateway.url(path), json=body) as response:
        assert response.status == 200
        return await response.read()


@pytest.mark.parametrize("number", ODD)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_an_odd_count_is_unknown_and_spoils_nothing(
    start_gateway: StartGateway, upstream: ScriptedUpstream, number: str, stream: bool
) -> None:
    """Neither the other count, its own response, a later request, nor anything that shows the books."""
    gateway = await start_gateway(upstream.base_url)
    choices = '[{"delta":{"content":"a"},"finish_reason":"stop"}]' if stream else "[]"
    body = f'{{"choices":{choices},"usage":{{"prompt_tokens":7,"completion_tokens":{number}}}}}'
    event = b"data: %s\n\n" % body.encode()
    upstream.script = raw(STREAM_HEAD + chunk(event) + b"0\r\n\r\n") if stream else answer(body.encode())
    for _ in range(3):
        assert await ask(gateway, stream=stream) == (event if stream else body.encode())
        row = await the_books_work(gateway)
        assert row["outcome"] == "completed"
    # What was seen going by counts in place of what LM Studio reports.
    seen = 1 if stream else 0
    assert row["tokenUsage"] == usage_of(7, seen)


TIMES = ["time_to_first_token", "time_to_first_token_seconds"]


@pytest.mark.parametrize(
    ("name", "number"),
    [(name, number) for name in ("tokens_per_second", *TIMES) for number in (*ODD, "1e8") if number != "7.5"],
)
async def test_an_odd_speed_or_time_is_unknown(
    start_gateway: StartGateway, upstream: ScriptedUpstream, name: str, number: str
) -> None:
    """The speed is then that which was measured."""
    gateway = await start_gateway(upstream.base_url)
    fields = f'"{name}":{number},"total_output_tokens":5,"input_tokens":7'
    upstream.script = answer(b'{"choices":[],"stats":{%s}}' % fields.encode())
    for _ in range(2):
        await ask(gateway)
        row = await the_books_work(gateway)
    assert row["tokenUsage"] == usage_of(7, 5)
    assert (row["ttftMs"], row["tokensPerSecond"] > 0) == (None, True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":[{"text":"half \\ud83d"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}',
        b'{"choices":7,"message":"text","usage":{"prompt_tokens":7,"completion_tokens":3},"stats":[]}',
        b'{"usage":{"prompt_tokens":7,"completion_tokens":3,"a":"\\udfff"},"response":"x","result":7}',
        b'{"usage":{"prompt_tokens":7.0,"completion_tokens":3,"prompt_tokens_details":[1e999]}}',
    ],
    ids=["half a character", "odd members", "half of one in usage", "whole floats"],
)
async def test_figures_are_read_beside_what_is_odd(
    start_gateway: StartGateway, upstream: ScriptedUpstream, body: bytes
) -> None:
    gateway = await start_gateway(upstream.base_url)
    upstream.script = answer(body)
    assert await ask(gateway) == body
    row = await the_books_work(gateway)
    assert row["tokenUsage"] == usage_of(7, 3)


@pytest.mark.parametrize(
    ("usage", "is_read"),
    [
        (b'{"prompt_tokens":7,"completion_tokens":3,"a":"\\ud83d"}', True),
        (b'{"prompt_tokens":7,"completion_tokens":3,"a":%s}' % HUGER.encode(), True),
        (b'{"prompt_tokens":7,"completion_tokens":3,"a":%s}' % (b"[" * 5000), False),
        (b'{"prompt_tokens":7,"completion_tokens":3,', False),
        (b"{" * 5000, False),
        (b'{"prompt_tokens":NaN}', False),
    ],
    ids=["half a character", "a long number", "too deep", "unfinished", "deeper", "NaN"],
)
async def test_an_odd_end_of_a_long_answer_severs_nothing(
    start_gateway: StartGateway, upstream: ScriptedUpstream, usage: bytes, is_read: bool
) -> None:
    """Only the end of a long body is read."""
    gateway = await start_gateway(upstream.base_url)
    body = b'{"data":"%s","usage":%s}' % (b"x" * 300_000, usage)
    upstream.script = answer(body)
    assert await ask(gateway) == body
    row = await the_books_work(gateway)
    assert (row["tokenUsage"] is not None) == is_read


@pytest.mark.parametrize(
    "chunk_of_usage",
    [
        b'{"choices":[],"usage":{"prompt_tokens":7,"a":"\\ud83d"},"timings":{"a":"\\ud83d"}}',
        b'{"choices":[],"usage":{"prompt_tokens":7},"\\ud83d":1}',
        b'{"choices":[],"usage":{"prompt_tokens":7},"timings":{"a":1e999}}',
    ],
)
async def test_usage_that_can_not_be_cut_out_severs_no_stream(
    start_gateway: StartGateway, upstream: ScriptedUpstream, chunk_of_usage: bytes
) -> None:
    """It is the gateway that asked for it, in the client's name."""
    gateway = await start_gateway(upstream.base_url)
    end = b'data: {"choices":[{"finish_reason":"stop"}]}\n\n'
    stream = end + b"data: %s\n\ndata: [DONE]\n\n" % chunk_of_usage
    upstream.script = raw(STREAM_HEAD + chunk(stream) + b"0\r\n\r\n")
    seen = await ask(gateway, stream=True)
    assert seen.startswith(end)
    assert seen.endswith(b"data: [DONE]\n\n")
    row = await the_books_work(gateway)
    assert (row["outcome"], row["tokenUsage"]["promptTokens"]) == ("completed", 7)
