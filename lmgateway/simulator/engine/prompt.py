"""A prompt and its settings, in one shape for all APIs."""

import msgspec

from . import speech

IMAGE_TOKENS = 256
"""The tokens of an image, whatever its size."""

Schema = dict[str, object]
"""A JSON Schema."""


class Tool(msgspec.Struct, frozen=True):
    """A function the model may call."""

    name: str
    schema: Schema = {}


class Call(msgspec.Struct, frozen=True):
    """A call of a tool; the arguments are JSON's types."""

    name: str
    arguments: object


class Sampling(msgspec.Struct, frozen=True):
    """The sampling parameters, which are only logged: they don't affect the simulated text."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Limits(msgspec.Struct, frozen=True):
    """The limits of a generation. As in LM Studio, a negative `max_tokens` means no limit."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is the whole prompt. It seeds the answer and is never logged."""

    text: str
    messages: int = 1
    images: int = 0
    request: str | None = None
    """The user's last message, which is a part of the text; None if the API doesn't separate messages."""
    tool_result: str | None = None
    """A tool's result, if the answer is to quote it."""
    call: Call | None = None
    """A tool call to answer with, in place of text."""
    answer_schema: Schema | None = None
    """The schema of a JSON answer."""
    reasons: bool = True
    """False keeps a reasoning model from thinking before it answers."""
    limits: Limits = Limits()
    sampling: Sampling = Sampling()

    def tokens(self) -> int:
        return speech.count_pieces(self.text) + self.images * IMAGE_TOKENS
