"""How each API names what the gateway fills in, and how its streams end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ..schema.common import ModelType
from . import stream_end

_CHAT = {
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "repeat_penalty": "repeat_penalty",
    "stop_strings": "stop",
    "stream": "stream",
}
_RESPONSES = {
    "temperature": "temperature",
    "max_tokens": "max_output_tokens",
    "top_p": "top_p",
    "stream": "stream",
}
_MESSAGES = {
    "temperature": "temperature",
    "max_tokens": "max_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_strings": "stop_sequences",
    "stream": "stream",
}
_NATIVE_CHAT = {
    "temperature": "temperature",
    "max_tokens": "max_output_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "repeat_penalty": "repeat_penalty",
    "stream": "stream",
}


Protocol = Literal["openai", "responses", "messages", "native"]


class Dialect(Struct, frozen=True, eq=False):
    """How one API names the parameters of a DefaultInference, and which kind of model it is for.

    `generates`: its requests generate text, which keeps the GPU busy. `stream_end` matches the end of a
    complete stream, whose events are those of `protocol`. `usage_on_request`: a stream reports usage only if
    the request asks for it. `continues`: its answers have ids, by which a later request continues them.
    `reloads`: the member with which a request has LM Studio load the model anew.
    """

    model_type: ModelType
    parameters: Mapping[str, str]
    generates: bool = False
    usage_on_request: bool = False
    stream_end: re.Pattern[bytes] | None = None
    protocol: Protocol = "openai"
    reloads: str | None = None

    @property
    def continues(self) -> bool:
        return self.protocol in {"responses", "native"}


_CHOICES = Dialect("llm", _CHAT, generates=True, usage_on_request=True, stream_end=stream_end.OF_CHOICES)
DIALECTS: Mapping[str, Dialect] = {
    "/v1/chat/completions": _CHOICES,
    "/v1/completions": _CHOICES,
    "/api/v0/chat/completions": _CHOICES,
    "/api/v0/completions": _CHOICES,
    "/v1/responses": Dialect(
        "llm", _RESPONSES, generates=True, stream_end=stream_end.OF_RESPONSES, protocol="responses"
    ),
    "/v1/messages": Dialect(
        "llm", _MESSAGES, generates=True, stream_end=stream_end.OF_MESSAGES, protocol="messages"
    ),
    # Only sent to LM Studio with compat.mend = false.
    "/v1/messages/count_tokens": Dialect("llm", {}),
    "/v1/embeddings": Dialect("embedding", {}),
    "/api/v0/embeddings": Dialect("embedding", {}),
    "/api/v1/chat": Dialect(
        "llm",
        _NATIVE_CHAT,
        generates=True,
        stream_end=stream_end.OF_NATIVE_CHAT,
        protocol="native",
        reloads="context_length",
    ),
}
