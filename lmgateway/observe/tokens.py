"""What is known about an answer's tokens."""

from __future__ import annotations

from dataclasses import dataclass

from ..schema.debug import TokenUsage


@dataclass(slots=True)
class TokenCount:
    """Tokens of one answer, so far: `seen` going by in a stream, the rest as LM Studio itself tells.

    `broke`: LM Studio ended the stream with an error of its own.
    """

    seen: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token: float | None = None
    broke: bool = False

    @property
    def usage(self) -> TokenUsage | None:
        """What LM Studio says, once it did; of an answer that broke off, what was seen of it."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        prompt = self.prompt_tokens or 0
        completion = self.seen if self.completion_tokens is None else self.completion_tokens
        return TokenUsage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )

    @property
    def generated(self) -> int:
        return self.completion_tokens or self.seen
