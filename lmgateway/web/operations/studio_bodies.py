"""The request bodies of LM Studio's paths, for the OpenAPI document only: the gateway doesn't decode them.

Source: LM Studio's REST API, and those of OpenAI and Anthropic that it follows. Fields that aren't listed
here are forwarded too.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from ...schema.common import about

Parts = list[dict[str, Any]]
Seconds = Annotated[float, about("Seconds without a request until a model that this one loads is unloaded.")]


class Inference(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str | None = None
    stream: bool | None = False
    ttl: Seconds | None = None


class Sampling(Inference, frozen=True, kw_only=True, omit_defaults=True):
    temperature: float | None = None
    top_p: float | None = None


class Turn(Struct, frozen=True, kw_only=True, omit_defaults=True):
    role: str
    content: Annotated[Any, about("Text, or a list of parts.")] = None


class _OpenAi(Sampling, frozen=True, kw_only=True, omit_defaults=True):
    max_tokens: int | None = None
    max_completion_tokens: Annotated[int, about("The newer name of `max_tokens`.")] | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    stop: str | list[str] | None = None
    stream_options: dict[str, Any] | None = None


class ChatCompletions(_OpenAi, frozen=True, kw_only=True, omit_defaults=True):
    messages: list[Turn]
    tools: Parts | None = None
    response_format: dict[str, Any] | None = None


class Completions(_OpenAi, frozen=True, kw_only=True, omit_defaults=True):
    prompt: str | list[str]


class Embeddings(Struct, frozen=True, kw_only=True, omit_defaults=True):
    model: str | None = None
    input: Annotated[str | list[str | int | list[int]], about("One text, several, or token numbers.")]
    ttl: Seconds | None = None


class Responses(Sampling, frozen=True, kw_only=True, omit_defaults=True):
    input: str | Parts
    instructions: str | None = None
    max_output_tokens: int | None = None
    tools: Parts | None = None


class MessageTurn(Struct, frozen=True, kw_only=True):
    role: str
    content: str | Parts


class Conversation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt whose tokens are counted."""

    model: str | None = None
    messages: list[MessageTurn]
    system: str | Parts | None = None
    tools: Parts | None = None


class Messages(Sampling, frozen=True, kw_only=True, omit_defaults=True):
    messages: list[MessageTurn]
    system: str | Parts | None = None
    max_tokens: int | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: Parts | None = None


class NativeChat(Sampling, frozen=True, kw_only=True, omit_defaults=True):
    input: str | Parts
    system_prompt: str | None = None
    max_output_tokens: int | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    store: bool | None = True


class NativeDownload(Struct, frozen=True, kw_only=True):
    model: Annotated[str, Meta(min_length=1)]
