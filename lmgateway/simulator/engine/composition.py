"""Decides the text and the stop reason of a generation before its first token."""

import secrets
from typing import Literal

import msgspec

from . import speech
from .prompt import Limits, Prompt
from .sample import sample

StopReason = Literal["eosFound", "maxPredictedTokensReached", "stopStringFound", "toolCalls", "userStopped"]
"""In the words of LM Studio's `stats`."""


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """The pieces to generate: of a text, or of the JSON arguments of a tool call; and of thoughts before."""

    pieces: tuple[str, ...]
    reasoning: tuple[str, ...] = ()
    stop_reason: StopReason
    stop_string: str | None = None
    tool_name: str | None = None
    tool_call_id: str = ""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def reasoning_text(self) -> str:
        return "".join(self.reasoning)

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.pieces)


def compose(model_name: str, prompt: Prompt, *, reasons: bool = False) -> Composition:
    """Return the answer; `reasons` is true for a model that thinks first, if the prompt lets it."""
    planned = _answer(model_name, prompt)
    if reasons and prompt.reasons:
        thoughts = tuple(speech.pieces(speech.thoughts(prompt.request)))
        planned = msgspec.structs.replace(planned, reasoning=thoughts)
    return _limited(planned, prompt.limits)


def _answer(model_name: str, prompt: Prompt) -> Composition:
    if prompt.call is not None:
        return Composition(
            pieces=_json_pieces(prompt.call.arguments),
            stop_reason="toolCalls",
            tool_name=prompt.call.name,
            tool_call_id=str(secrets.randbelow(900_000_000) + 100_000_000),
        )
    if prompt.answer_schema is not None:
        return Composition(pieces=_json_pieces(sample(prompt.answer_schema)), stop_reason="eosFound")
    said = speech.answer(model_name, prompt.text, request=prompt.request, tool_result=prompt.tool_result)
    return _stopped(said, prompt.limits.stop)


def _stopped(text: str, stops: tuple[str, ...]) -> Composition:
    """Return the text up to its first stop string."""
    matches = [(place, stop) for stop in stops if stop and (place := text.find(stop)) >= 0]
    if not matches:
        return Composition(pieces=tuple(speech.pieces(text)), stop_reason="eosFound")
    place, stop = min(matches)
    return Composition(
        pieces=tuple(speech.pieces(text[:place])), stop_reason="stopStringFound", stop_string=stop
    )


def _limited(planned: Composition, limits: Limits) -> Composition:
    """Thoughts count too: a small limit leaves no token for the answer."""
    most = limits.max_tokens
    if most is None or most < 0 or most >= planned.tokens:
        return planned
    return msgspec.structs.replace(
        planned,
        reasoning=planned.reasoning[:most],
        pieces=planned.pieces[: max(0, most - len(planned.reasoning))],
        tool_name=None if most < len(planned.reasoning) else planned.tool_name,
        stop_reason="maxPredictedTokensReached",
        stop_string=None,
    )


def _json_pieces(value: object) -> tuple[str, ...]:
    return tuple(speech.pieces(msgspec.json.encode(value).decode()))
