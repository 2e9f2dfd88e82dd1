"""An answer's tokens: how many, and how fast they were generated."""

from __future__ import annotations

from dataclasses import dataclass

from ..schema.debug import TokenUsage

# One token has no speed.
_FEWEST_TOKENS = 2


@dataclass(slots=True)
class TokenCount:
    """Tokens of one answer, so far: `seen` in a stream as it passed, the rest as LM Studio reports it.

    `fault` says what is wrong with a stream that LM Studio ended without breaking it off.
    """

    seen: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token: float | None = None
    fault: str | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """LM Studio's own numbers once it sent them; of an answer that broke off, what was seen of it."""
        if self.prompt_tokens is None and self.completion_tokens is None and not self.seen:
            return None
        prompt = self.prompt_tokens or 0
        completion = self.seen if self.completion_tokens is None else self.completion_tokens
        return TokenUsage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )

    @property
    def generated(self) -> int:
        return self.completion_tokens or self.seen


def generation_speed(count: TokenCount, *, total: float, passed: float | None, stream: bool) -> float | None:
    """Return the tokens per second as LM Studio reports them, else as measured; None if neither is known.

    `total` is the seconds of the whole exchange, `passed` those from the first token seen to the last one.
    """
    if count.tokens_per_second is not None:
        return round(count.tokens_per_second, 2)
    tokens = count.generated
    # An event may hold several tokens. If one held most of them, they were buffered, and the time in which
    # they passed is not the time in which they were generated.
    if passed is not None and count.seen >= max(_FEWEST_TOKENS, tokens / 2):
        tokens, seconds = tokens - 1, passed
    elif stream and tokens < _FEWEST_TOKENS:  # most of the time was the prompt's
        return None
    else:
        seconds = total
    return round(tokens / seconds, 2) if tokens and seconds else None
