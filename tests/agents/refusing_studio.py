"""A simulated LM Studio that refuses coding agents' requests as the real one does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

from lmgateway.config import Config, Server
from lmgateway.server.connection_limits import ConnectionLimits
from lmgateway.server.listening import listening
from lmgateway.server.sockets import bind
from lmgateway.simulator import Pace, Simulator

MODEL = "qwen2.5-7b-instruct"
PROMPT_TOKENS, CONTEXT_TOKENS = 13055, 4096
KEEP = (
    "The number of tokens to keep from the initial prompt is greater than the context length "
    f"(n_keep: {PROMPT_TOKENS}>= n_ctx: {CONTEXT_TOKENS}). Try to load the model with a larger context "
    "length, or provide a shorter input."
)
FIT = (
    f"Input does not fit in context length. The input has {PROMPT_TOKENS} tokens, but the context length "
    f"only supports {CONTEXT_TOKENS} tokens."
)
TOOL_TYPES = {None, "function", "mcp"}

Overflow = Literal["event", "string", "error_500", "empty"]


@dataclass
class RefusingStudio:
    """`overflow` is the response to bodies of more than `fits_bytes`; `bodies` has every path and body."""

    overflow: Overflow | None = None
    fits_bytes: int = 0
    port: int = 0
    bodies: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @web.middleware
    async def refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST" or not request.path.startswith("/v1/"):
            return await handler(request)
        raw = await request.read()
        body = json.loads(raw)
        self.bodies.append((request.path, body))
        if request.path == "/v1/messages/count_tokens":
            error = f"Unexpected endpoint or method. ({request.method} {request.path_qs})"
            return web.json_response({"error": error})
        for number, tool in enumerate(body.get("tools", [])):
            if tool.get("type") not in TOOL_TYPES:
                return _unknown_tool_type(number)
        if self.overflow is not None and len(raw) > self.fits_bytes:
            return _overflow(self.overflow, request.path, is_stream=bool(body.get("stream")))
        return await handler(request)


def _unknown_tool_type(number: int) -> web.Response:
    error = {
        "message": "Invalid discriminator value. Expected 'function' | 'mcp'",
        "type": "invalid_request_error",
        "param": f"tools.{number}.type",
        "code": "invalid_union_discriminator",
    }
    return web.json_response({"error": error}, status=400)


def _overflow(shape: Overflow, path: str, *, is_stream: bool) -> web.Response:
    match shape:
        case "event" if is_stream:
            return _events(("error", {"error": {"message": FIT}, "message": FIT}))
        case "event" | "string":
            return web.json_response({"error": KEEP}, status=400)
        case "error_500":
            error = {"type": "error", "error": {"type": "api_error", "message": KEEP}}
            return web.json_response(error, status=500)
    return _empty_message(is_stream) if path == "/v1/messages" else _empty_response(is_stream)


def _empty_message(is_stream: bool) -> web.Response:
    usage = {"input_tokens": CONTEXT_TOKENS, "output_tokens": 0}
    ending = {"stop_reason": "end_turn", "stop_sequence": None}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    if not is_stream:
        return web.json_response({**message, **ending, "usage": usage})
    opening = {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
    return _events(
        ("message_start", {"type": "message_start", "message": opening}),
        ("message_delta", {"type": "message_delta", "delta": ending, "usage": usage}),
        ("message_stop", {"type": "message_stop"}),
    )


def _empty_response(is_stream: bool) -> web.Response:
    usage = {"input_tokens": CONTEXT_TOKENS, "output_tokens": 0, "total_tokens": CONTEXT_TOKENS}
    response = {"id": "resp_1", "object": "response", "model": MODEL, "output": []}
    completed = {**response, "status": "completed", "usage": usage}
    if not is_stream:
        return web.json_response(completed)
    created = {**response, "status": "in_progress"}
    return _events(
        ("response.created", {"type": "response.created", "sequence_number": 0, "response": created}),
        ("response.completed", {"type": "response.completed", "sequence_number": 1, "response": completed}),
    )


def _events(*events: tuple[str, object]) -> web.Response:
    text = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return web.Response(text=text, content_type="text/event-stream")


@asynccontextmanager
async def refusing_studio() -> AsyncIterator[RefusingStudio]:
    """Yield a studio with MODEL in memory, with LM Studio's default context of CONTEXT_TOKENS."""
    studio, simulator = RefusingStudio(), Simulator(pace=Pace.instant())
    simulator.load(MODEL)
    app = simulator.make_app()
    app.middlewares.append(studio.refuse)
    limits = ConnectionLimits(Config(server=Server(drain_seconds=0)))
    async with listening(app, bind("127.0.0.1", 0), limits=limits) as studio.port:
        yield studio
