"""The token count and the generation speed of an answer."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from ..schema.debug import TokenUsage

# A speed needs an interval, so at least two tokens.
_FEWEST_TOKENS = 2


class OnResponse(Protocol):
    def __call__(self, response_id: str, *, tokens: int) -> None: ...


class TokenCount(Struct):
    """Tokens of one answer so far. `seen` counts streamed ones; LM Studio reports the other figures.

    `model` is the identifier of the instance that answers, as LM Studio spells it. `fault` says what is wrong
    with a stream that LM Studio ended without breaking it off. `on_response` is called with the id of the
    response, and the tokens that are known by then, before the client gets it: in a stream at its beginning
    and its end.
    """

    seen: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token: float | None = None
    model: str | None = None
    fault: str | None = None
    response_id: str | None = None
    on_response: OnResponse | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """The usage as LM Studio reports it; if an answer broke off, with the tokens streamed until then."""
        if self.prompt_tokens is None and self.completion_tokens is None and not self.seen:
            return None
        prompt = self.prompt_tokens or 0
        completion = self.seen if self.completion_tokens is None else self.completion_tokens
        return TokenUsage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
            reasoning_tokens=self.reasoning_tokens,
            cached_tokens=self.cached_tokens,
        )

    @property
    def total(self) -> int:
        """The tokens of prompt and completion, as far as they are known."""
        completion = self.seen if self.completion_tokens is None else self.completion_tokens
        return (self.prompt_tokens or 0) + completion

    @property
    def generated(self) -> int:
        return self.completion_tokens or self.seen


def generation_speed(count: TokenCount, *, total: float, passed: float | None, stream: bool) -> float | None:
    """Return LM Studio's own tokens per second, otherwise the measured ones, None if neither is available.

    `total` is the duration of the exchange, `passed` the time from the first streamed token to the last.
    """
    if count.tokens_per_second is not None:
        return round(count.tokens_per_second, 2)
    tokens = count.generated
    # An event may hold several tokens. With fewer than half as many events as tokens, LM Studio has buffered
    # them, and streamed them in less time than it took to generate them.
    if passed is not None and count.seen >= max(_FEWEST_TOKENS, tokens / 2):
        tokens, seconds = tokens - 1, passed
    elif stream and tokens < _FEWEST_TOKENS:  # the prefill took most of the time
        return None
    else:
        seconds = total
    return round(tokens / seconds, 2) if tokens and seconds else None
