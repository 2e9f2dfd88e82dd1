"""One answer of a model, streamed from the gateway."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from .. import errors
from ..text import repaired
from .chat_display import Display
from .connection_failures import CUT_SHORT
from .failures import EX_NOINPUT, EX_UNAVAILABLE, RequestFailed
from .gateway_client import GatewayClient, exit_status
from .waiting import Waiting
from .wording import with_commands

_PATH = "/v1/chat/completions"
_STATUS = {
    kind.code: kind.status
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
}
# LM Studio's words, and the gateway's for a key with models of its own.
_NO_MODEL = ("No models loaded", "Name a model:")
_HOW_TO_NAME = (
    "No model is named, active or loaded. Name one with --model, or load one with `lmgateway load NAME`; "
    "`lmgateway models` lists them."
)


class _Delta(msgspec.Struct, frozen=True):
    """A piece of the answer. Reasoning has one of two names."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct, frozen=True):
    choices: list[_Choice] = []  # msgspec makes a new one for each
    error: Any = None


class Answer:
    """`text` is what has been received of it."""

    def __init__(
        self, model: str | None, messages: Sequence[Mapping[str, str]], max_tokens: int | None
    ) -> None:
        named = {"model": model, "max_tokens": max_tokens}
        self._body = {
            "messages": messages,
            "stream": True,
            **{name: value for name, value in named.items() if value is not None},
        }
        self.text = ""

    async def show(self, gateway: GatewayClient, display: Display) -> int:
        """Show the answer while it is generated. Leaving ends it, because the connection is closed.

        Raises RequestFailed.
        """
        request_id = f"chat-{secrets.token_hex(12)}"
        with display:
            try:
                async with (
                    Waiting(gateway, request_id, display),
                    aclosing(self._lines(gateway, request_id)) as lines,
                ):
                    await self._read(lines, display)
            except RequestFailed as exc:
                if "model" not in self._body and str(exc).startswith(_NO_MODEL):
                    raise RequestFailed(_HOW_TO_NAME, EX_NOINPUT) from exc
                raise
        return 0

    def _lines(self, gateway: GatewayClient, request_id: str) -> AsyncGenerator[str, None]:
        return gateway.stream(_PATH, self._body, {"X-Request-Id": request_id})

    async def _read(self, lines: AsyncIterator[str], display: Display) -> None:
        async for line in lines:
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            self._take(_chunk(data), display)
        raise RequestFailed(CUT_SHORT, EX_UNAVAILABLE)

    def _take(self, chunk: _Chunk, display: Display) -> None:
        if chunk.error is not None:
            raise _failure(chunk.error)
        for choice in chunk.choices:
            delta = choice.delta or _Delta()
            display.reasoning(repaired(delta.reasoning or delta.reasoning_content or ""))
            text = repaired(delta.content or "")
            self.text += text
            display.text(text)
            if choice.finish_reason == "length":
                display.note("The answer ends here: it reached the limit of tokens.")


def _chunk(data: str) -> _Chunk:
    try:
        return msgspec.json.decode(data, type=_Chunk)
    except (msgspec.MsgspecError, ValueError, RecursionError) as exc:
        raise RequestFailed(
            "The answer can't be read: it isn't a stream of OpenAI's API.", EX_UNAVAILABLE
        ) from exc


def _failure(error: Any) -> RequestFailed:
    """Return the failure that an error event reports, in OpenAI's shape or as a sentence alone."""
    match error:
        case {"message": str(sentence), "code": str(code)}:
            return RequestFailed(with_commands(sentence), exit_status(_STATUS.get(code, 500)))
        case {"message": str(sentence)} | str(sentence):
            return RequestFailed(with_commands(sentence), exit_status(500))
    return RequestFailed(CUT_SHORT, EX_UNAVAILABLE)
