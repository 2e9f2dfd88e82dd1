"""A scripted LM Studio that greets and lists a model in memory, as a box without a reachable SDK does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.raw_server import raw_server
from tests.support.upstream import Received, Script, ScriptedUpstream, answer

CONTEXT = 4096


def lm_studio(script: Script, model: str, slots: int = 4) -> Script:
    """Answer LM Studio's greeting and lists, refuse the SDK's sockets, and leave all else to the script."""
    instance = {"id": model, "config": {"parallel": slots, "context_length": CONTEXT}}
    older = {"data": [{"id": model, "type": "llm", "loaded_context_length": CONTEXT}]}
    answers: dict[str, object] = {
        "/lmstudio-greeting": {"lmstudio": True},
        "/api/v1/models": {"models": [{"key": model, "type": "llm", "loaded_instances": [instance]}]},
        "/api/v0/models": older,
        "/v1/models": older,
    }

    async def greet_or_run(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.one("Upgrade"):
            await answer(b"", status="404 Not Found")(request, reader, writer)
        elif request.method == "GET" and request.target in answers:
            body = json.dumps(answers[request.target]).encode()
            await answer(body)(request, reader, writer)
        else:
            await script(request, reader, writer)

    return greet_or_run


@asynccontextmanager
async def scripted_box(script: Script, model: str, slots: int = 4) -> AsyncIterator[ScriptedUpstream]:
    """Run one on a port of its own. A test may change its script only through `lm_studio`."""
    box = ScriptedUpstream(lm_studio(script, model, slots))
    async with raw_server(box.serve_connection) as box.port:
        yield box
