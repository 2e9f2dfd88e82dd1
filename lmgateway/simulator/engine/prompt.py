"""What is asked of a model, in one shape for every API."""

import msgspec

from . import speech

IMAGE_TOKENS = 256
"""What an image costs, whatever its size."""

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
    """Told to the log; a pretended model is swayed by none of it."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


class Limits(msgspec.Struct, frozen=True):
    """When to stop. LM Studio takes a negative `max_tokens` for no limit."""

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is all that the model reads. It seeds the answer and is never logged."""

    text: str
    messages: int = 1
    images: int = 0
    request: str | None = None
    """What the user asked last, where that is known: a part of the text."""
    tool_result: str | None = None
    """What a tool gave, where the answer is to be about that."""
    call: Call | None = None
    """What the answer will be instead of text."""
    answer_schema: Schema | None = None
    """The answer will be JSON that fits this."""
    limits: Limits = Limits()
    sampling: Sampling = Sampling()

    def tokens(self) -> int:
        return speech.count_pieces(self.text) + self.images * IMAGE_TOKENS
