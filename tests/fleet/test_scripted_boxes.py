"""Boxes whose answers are written byte by byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.gateway import running_gateway
from tests.support.scripted_box import scripted_box
from tests.support.upstream import STREAM_HEAD, Received, Script, answer, raw, reset

MODEL = "scripted-7b"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
DONE = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}).encode()


async def break_off(_request: Received, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection before one byte."""
    reset(writer)


@pytest.mark.parametrize(
    ("script", "status", "requests"),
    [
        pytest.param(answer(DONE), 200, (1, 0), id="answered"),
        pytest.param(break_off, 200, (1, 1), id="no byte"),
        pytest.param(raw(STREAM_HEAD), 502, (1, 0), id="a head"),
        pytest.param(raw(b"HTTP/1.1 2"), 502, (1, 0), id="half a head"),
        pytest.param(raw(b"no HTTP\r\n\r\n"), 502, (1, 0), id="no head"),
    ],
)
async def test_a_request_goes_to_another_box_only_before_the_first_byte(
    script: Script, status: int, requests: tuple[int, int], tmp_path: Path
) -> None:
    """After a byte nothing is sent twice. The first of both boxes gets the request."""
    async with scripted_box(script, MODEL) as first, scripted_box(answer(DONE), MODEL) as second:
        tables = {
            "boxes": {"a": {"base_url": first.base_url}, "b": {"base_url": second.base_url}},
            "server": {"state_dir": str(tmp_path)},
        }
        async with running_gateway(tables) as gateway:
            url = gateway.url("/v1/chat/completions")
            async with gateway.client.post(url, json=CHAT) as response:
                await response.read()
                assert (response.status, len(first.posts), len(second.posts)) == (status, *requests)


async def test_tools_are_not_run_twice(tmp_path: Path) -> None:
    """A request whose tools LM Studio's machine runs isn't sent again once a box may have got it."""
    tools = [{"type": "mcp", "server_label": "files", "server_url": "http://127.0.0.1:9/"}]
    async with scripted_box(break_off, MODEL) as first, scripted_box(answer(DONE), MODEL) as second:
        tables = {
            "boxes": {"a": {"base_url": first.base_url}, "b": {"base_url": second.base_url}},
            "server": {"state_dir": str(tmp_path)},
        }
        async with running_gateway(tables) as gateway:
            body = {"model": MODEL, "input": "Hello", "tools": tools}
            async with gateway.client.post(gateway.url("/v1/responses"), json=body) as response:
                await response.read()
            assert (response.status, len(first.posts), len(second.posts)) == (502, 1, 0)
