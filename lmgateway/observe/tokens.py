"""What is known about an answer's tokens."""

from __future__ import annotations

from dataclasses import dataclass

from ..schema import TokenUsage


@dataclass(slots=True)
class TokenCount:
    """Tokens of one answer, so far: `seen` going by in a stream, the rest as LM Studio itself tells."""

    seen: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token: float | None = None

    @property
    def usage(self) -> TokenUsage | None:
        """What LM Studio says, once it did."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        prompt, completion = self.prompt_tokens or 0, self.completion_tokens or 0
        return TokenUsage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )

    @property
    def generated(self) -> int:
        return self.completion_tokens or self.seen
