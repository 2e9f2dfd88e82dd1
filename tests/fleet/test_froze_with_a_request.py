"""A machine that freezes without a trace when a request has been sent to it, and is woken up."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.fleet.packets import PACKET, Packets, sleeping
from tests.support.gateway import running_gateway
from tests.support.raw_server import raw_server
from tests.support.scripted_box import lm_studio
from tests.support.upstream import Received, ScriptedUpstream, answer
from tests.support.waiting import PATIENCE_SECONDS

MODEL = "scripted-7b"
DONE = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}}]}).encode()


@pytest.mark.usefixtures("quick_time_outs")
@pytest.mark.parametrize(("tools", "status"), [([], 200), ([{"type": "mcp", "server_label": "a"}], 503)])
async def test_it_is_sent_again_when_the_machine_is_awake(
    network: Packets, tmp_path: Path, tools: list[object], status: int
) -> None:
    """No byte came back. But tools that run on its machine may have run."""
    awake = asyncio.Event()
    usual = lm_studio(answer(DONE), MODEL)

    async def serve(request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if awake.is_set() and not (request.method == "POST" and len(box.posts) == 1):
            await usual(request, reader, writer)
        else:
            awake.clear()  # the first request is the last thing that it receives
            await reader.read()

    awake.set()
    box = ScriptedUpstream(serve)
    async with raw_server(box.serve_connection) as box.port:
        tables: dict[str, object] = {
            "lmstudio": sleeping(network, base_url=box.base_url),
            "server": {"state_dir": str(tmp_path)},
        }
        async with running_gateway(tables) as gateway:
            body = {"model": MODEL, "input": "Hello", "tools": tools}
            asked = asyncio.create_task(gateway.client.post(gateway.url("/v1/responses"), json=body))
            if status == 200:
                packet = await asyncio.wait_for(network.received.get(), PATIENCE_SECONDS)
                assert packet == PACKET
                awake.set()
            async with await asyncio.wait_for(asked, PATIENCE_SECONDS) as response:
                assert (response.status, len(box.posts)) == (status, 2 if status == 200 else 1)
