"""A request of Anthropic's API as the conversation that LM Studio's SDK makes a prompt of.

Sources: Anthropic's Messages API; ChatHistoryData and LlmTool of LM Studio's SDK. What has no text counts
nothing: LM Studio reports no count of tokens for an image. Earlier thinking isn't a part of a prompt.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from ..errors import BadRequest, ContentTooLarge
from .surrogates import masked_text

Json = dict[str, Any]

BODY_BYTES = 8 * 1024**2
"""Most of a long body is images, which are skipped."""
PROMPT_BYTES = 3 * 1024**2 // 2
"""As JSON. LM Studio's answer, in which a template may escape it once more, stays below the SDK's limit."""
# With as many separators, decoding and converting a body takes 30 ms.
_MAX_SEPARATORS = 50_000
_NO_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
_NOTHING = Raw(b"null")


class _Block(Struct, frozen=True):
    """Part of a message. A value that may be long, or of different types, isn't decoded yet."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    tool_use_id: str | None = None
    input: Raw = _NOTHING
    content: Raw = _NOTHING
    source: Raw = _NOTHING


_Content = str | list[_Block]


class _Turn(Struct, frozen=True):
    role: Literal["user", "assistant", "system"]
    content: _Content


class _Tool(Struct, frozen=True):
    name: str
    description: str | None = None
    # None for a tool that Anthropic's servers run.
    input_schema: Json | None = None


class _Body(Struct, frozen=True):
    messages: list[_Turn]
    model: str | None = None
    system: _Content | None = None
    tools: list[_Tool] | None = None


class _TextSource(Struct, frozen=True, tag_field="type", tag="text"):
    """A document's text; other sources have other types."""

    data: str


# Making a decoder takes longer than decoding a block.
_BODY = msgspec.json.Decoder(_Body)
_ARGUMENTS = msgspec.json.Decoder(Json | None)
_INNER = msgspec.json.Decoder(_Content | None)
_TEXT_SOURCE = msgspec.json.Decoder(_TextSource)


class Conversation(Struct, frozen=True):
    """A prompt before the model's template is applied: ChatHistoryData, and LlmTools."""

    model: str | None
    history: Json
    tools: list[Json]


def parse(body: bytes | bytearray) -> Conversation:
    """Return the request's conversation. Raises BadRequest, ContentTooLarge."""
    if len(body) > BODY_BYTES or body.count(b",") + body.count(b":") > _MAX_SEPARATORS:
        raise ContentTooLarge("The conversation is too long for its tokens to be counted.")
    try:
        request = _BODY.decode(masked_text(body.removeprefix(BOM_UTF8)))
        if not request.messages:
            raise BadRequest("messages: at least one message is required.")
        conversation = Conversation(
            request.model,
            {"messages": list(_messages(request))},
            [_tool(tool) for tool in request.tools or () if tool.input_schema is not None],
        )
        if len(msgspec.json.encode((conversation.history, conversation.tools))) > PROMPT_BYTES:
            raise ContentTooLarge("The conversation's text is too long for its tokens to be counted.")
    except _NO_JSON as exc:
        raise BadRequest(f"The body is no request of Anthropic's API: {exc}") from exc
    return conversation


def _messages(request: _Body) -> Iterator[Json]:
    if request.system:
        yield {"role": "system", "content": _texts(request.system)}
    for turn in request.messages:
        if turn.role == "assistant":
            yield {"role": "assistant", "content": [*_texts(turn.content), *_calls(turn.content)]}
            continue
        if results := list(_results(turn.content)):
            yield {"role": "tool", "content": results}
        if (texts := _texts(turn.content)) or not results:
            yield {"role": turn.role, "content": texts or [_text("")]}


def _texts(content: _Content) -> list[Json]:
    if isinstance(content, str):
        return [_text(content)]
    texts = (block.text if block.type == "text" else _document(block) for block in content)
    return [_text(text) for text in texts if text is not None]


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _document(block: _Block) -> str | None:
    """Return a document's text, None of any other block and of a document without text."""
    if block.type != "document":
        return None
    try:
        return _TEXT_SOURCE.decode(block.source).data
    except msgspec.ValidationError:
        return None


def _calls(content: _Content) -> Iterator[Json]:
    for block in _blocks(content, "tool_use"):
        call = {
            "type": "function",
            "id": block.id,
            "name": block.name or "",
            "arguments": _ARGUMENTS.decode(block.input) or {},
        }
        yield {"type": "toolCallRequest", "toolCallRequest": call}


def _results(content: _Content) -> Iterator[Json]:
    for block in _blocks(content, "tool_result"):
        inner = _INNER.decode(block.content)
        text = "\n".join(part["text"] for part in _texts(inner or ""))
        yield {"type": "toolCallResult", "content": text, "toolCallId": block.tool_use_id}


def _blocks(content: _Content, kind: str) -> Iterable[_Block]:
    return () if isinstance(content, str) else (block for block in content if block.type == kind)


def _tool(tool: _Tool) -> Json:
    # The SDK requires these two members of a schema.
    schema = {"type": "object", "properties": {}, **(tool.input_schema or {})}
    function = {"name": tool.name, "description": tool.description or "", "parameters": schema}
    return {"type": "function", "function": function}
