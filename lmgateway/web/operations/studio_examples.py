"""Examples of requests to LM Studio and of its responses, in each API's format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...schema.native_models import NativeLoad, NativeLoaded, NativeUnload, NativeUnloaded
from ...schema.tokens import CountedTokens
from . import studio_bodies as bodies
from .examples import EMBEDDING_MODEL
from .examples import MODEL as MODEL

_HELLO, _REPLY = "Hello!", "Hello! How can I help?"
_USAGE = {"prompt_tokens": 25, "completion_tokens": 9, "total_tokens": 34}
_NATIVE_STATS = {"tokens_per_second": 41.2, "time_to_first_token": 0.21, "stop_reason": "eosFound"}


def _sse(*events: Mapping[str, Any] | str, named: bool = False) -> str:
    """Return an event stream; with `named`, each event's name is its `type`."""
    frames = []
    for event in events:
        name = f"event: {event['type']}\n" if named and not isinstance(event, str) else ""
        text = event if isinstance(event, str) else msgspec.json.encode(event).decode()
        frames.append(f"{name}data: {text}\n\n")
    return "".join(frames)


# ── OpenAI's API ───────────────────────────────────────────────────────────────────────────────────────────

MODEL_ENTRY = {"id": MODEL, "object": "model", "owned_by": "organization_owner"}
MODEL_LIST = {"object": "list", "data": [MODEL_ENTRY]}

CHAT = bodies.ChatCompletions(messages=[bodies.Turn(role="user", content=_HELLO)])
_CHAT_HEAD = {"id": "chatcmpl-1f8a", "created": 1773480413, "model": MODEL}
CHAT_ANSWER = {
    **_CHAT_HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": _REPLY}, "finish_reason": "stop"}],
    "usage": _USAGE,
}
CHAT_STREAM = _sse(
    {
        **_CHAT_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}],
    },
    "[DONE]",
)
NATIVE_V0_CHAT_ANSWER = {**CHAT_ANSWER, "stats": _NATIVE_STATS}

COMPLETION = bodies.Completions(prompt="Once upon a time", max_tokens=100)
_COMPLETION_HEAD = {"id": "cmpl-1f8a", "object": "text_completion", "created": 1773480413, "model": MODEL}
COMPLETION_ANSWER = {
    **_COMPLETION_HEAD,
    "choices": [{"index": 0, "text": " there was a gateway.", "finish_reason": "stop"}],
    "usage": _USAGE,
}
COMPLETION_STREAM = _sse(
    {**_COMPLETION_HEAD, "choices": [{"index": 0, "text": " there", "finish_reason": None}]}, "[DONE]"
)
NATIVE_V0_COMPLETION_ANSWER = {**COMPLETION_ANSWER, "stats": _NATIVE_STATS}

EMBEDDING = bodies.Embeddings(input=["one", "two"])
EMBEDDING_ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.0123, -0.0456]}],
    "model": EMBEDDING_MODEL,
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}

RESPONSE = bodies.Responses(input=_HELLO)
_OUTPUT = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": _REPLY}]}
RESPONSE_ANSWER = {
    "id": "resp_1f8a",
    "object": "response",
    "status": "completed",
    "model": MODEL,
    "output": [_OUTPUT],
    "usage": {"input_tokens": 25, "output_tokens": 9, "total_tokens": 34},
}
RESPONSE_STREAM = _sse(
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.completed", "response": RESPONSE_ANSWER},
    named=True,
)

# ── Anthropic's API ────────────────────────────────────────────────────────────────────────────────────────

CONVERSATION = bodies.Conversation(messages=[bodies.MessageTurn(role="user", content=_HELLO)])
MESSAGE = bodies.Messages(messages=[bodies.MessageTurn(role="user", content=_HELLO)], max_tokens=200)
MESSAGE_ANSWER = {
    "id": "msg_1f8a",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": [{"type": "text", "text": _REPLY}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 25, "output_tokens": 9},
}
MESSAGE_STREAM = _sse(
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "message_stop"},
    named=True,
)
COUNT_ANSWER = CountedTokens(input_tokens=25)

# ── LM Studio's own API ────────────────────────────────────────────────────────────────────────────────────

V0_MODEL_ENTRY = {
    "id": MODEL,
    "object": "model",
    "type": "llm",
    "state": "loaded",
    "max_context_length": 32768,
}
V0_MODEL_LIST = {"object": "list", "data": [V0_MODEL_ENTRY]}
V1_MODEL_LIST = {
    "models": [
        {
            "type": "llm",
            "key": MODEL,
            "display_name": "Qwen2.5 7B Instruct",
            "loaded_instances": [{"id": MODEL, "config": {"context_length": 8192}}],
            "max_context_length": 32768,
        }
    ]
}
NATIVE_CHAT = bodies.NativeChat(input=_HELLO)
NATIVE_CHAT_ANSWER = {
    "model_instance_id": MODEL,
    "output": [{"type": "message", "content": _REPLY}],
    "stats": {"input_tokens": 25, "total_output_tokens": 9, "tokens_per_second": 41.2},
}
NATIVE_CHAT_STREAM = _sse(
    {"type": "message.delta", "content": "Hello"},
    {"type": "chat.end", "result": NATIVE_CHAT_ANSWER},
    named=True,
)
NATIVE_LOAD = NativeLoad(model=MODEL, context_length=8192)
NATIVE_LOADED = NativeLoaded(type="llm", instance_id=MODEL, load_time_seconds=3.1)
NATIVE_UNLOAD = NativeUnload(instance_id=MODEL)
NATIVE_UNLOADED = NativeUnloaded(instance_id=MODEL)
NATIVE_DOWNLOAD = bodies.NativeDownload(model="qwen/qwen3-4b")
NATIVE_DOWNLOADING = {"job_id": "job_1f8a", "status": "downloading", "total_size_bytes": 2279145003}
