"""Gateways that answer `lmgateway chat` with prepared streams, and the command with pipes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import test_utils, web

from tests.support.upstream import STREAM_HEAD, Received, chunk
from tests.support.waiting import ENDING_SECONDS

CHAT, OTHER, THINKS = "qwen2.5-7b-instruct", "llama-3.2-3b-instruct", "qwen/qwen3-8b"
DONE = "data: [DONE]\n\n"


def said(text: str, **delta: str) -> str:
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': text, **delta}}]})}\n\n"


CUT_SHORT = "The gateway or LM Studio ended the answer before it was complete."
HELLO = said("Hel") + said("lo.") + DONE


@asynccontextmanager
async def serving(*streams: str) -> AsyncIterator[tuple[str, list[Any]]]:
    """A gateway that answers with these streams in turn. Yield its URL, and the bodies that it gets."""
    bodies: list[Any] = []
    answers = iter(streams)

    async def complete(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(text=next(answers), content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    async with test_utils.TestServer(app) as server:
        yield str(server.make_url("/")), bodies


async def piped(
    *arguments: str, cwd: Path, stdin: bytes | None = None, **environ: str
) -> tuple[int, bytes, str]:
    """Run `lmgateway chat` with pipes: its exit status, stdout and stderr. Without `stdin`, that is empty."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "lmgateway", "chat", *arguments),
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), ENDING_SECONDS)
    return process.returncode or 0, out, err.decode()


def failed(**error: object) -> str:
    return f"data: {json.dumps({'error': error})}\n\n"


async def generate(_request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begin an answer, and go on until the peer leaves."""
    writer.write(STREAM_HEAD + chunk(said("Hel").encode()))
    await reader.read()
