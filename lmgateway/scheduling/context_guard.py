"""How much of a shared context a request may need.

Where LM Studio's `useUnifiedKvCache` is on, all that runs on an instance shares one cache, and when it is
full LM Studio ends every request with an error.
"""

from __future__ import annotations

import math
from collections import deque

from .tickets import Ticket

FIRST_BYTES_PER_TOKEN = 3.0
FIRST_ANSWER_TOKENS = 1024
ANSWERS = 100
# The first guess counts like a prompt of so many tokens; the last prompts with so many decide. Of a short
# body most is JSON, so many short ones mustn't decide about a long one.
_FIRST_TOKENS = 1_000.0
_RECENT_TOKENS = 20_000


class ContextNeeds:
    """What the requests of one model need, learned from those that have ended."""

    def __init__(self) -> None:
        self._tokens = _FIRST_TOKENS
        self._bytes = FIRST_BYTES_PER_TOKEN * _FIRST_TOKENS
        self._answers: deque[int] = deque(maxlen=ANSWERS)
        self._usual: int | None = None

    def learn(
        self,
        prompt_bytes: int,
        prompt_tokens: int | None,
        answer_tokens: int | None,
        *,
        earlier_tokens: int = 0,
    ) -> None:
        """Learn from a request that has ended. What LM Studio didn't report is None.

        `earlier_tokens` of the prompt are of the conversation that the request continued.
        """
        own = (prompt_tokens or 0) - earlier_tokens
        if 0 < own <= prompt_bytes:  # images have more tokens than the text beside them has bytes
            rest = max(1 - own / _RECENT_TOKENS, 0.0)
            self._tokens = self._tokens * rest + own
            self._bytes = self._bytes * rest + prompt_bytes
        if answer_tokens:
            self._answers.append(answer_tokens)
            self._usual = None

    def of(self, ticket: Ticket, context: int, slots: int) -> int:
        """Return the tokens to reserve for a request, in a context shared by so many."""
        answer = self._usual_answer(context, slots)
        if ticket.max_tokens is not None:
            answer = min(answer, ticket.max_tokens)
        # One that began before it was known that they share the context may not have been measured.
        size = ticket.prompt_bytes or ticket.body_bytes
        prompt = math.ceil(size * self._tokens / self._bytes)
        return prompt + ticket.earlier_tokens + answer

    def _usual_answer(self, context: int, slots: int) -> int:
        """Return the 90th percentile of the last answers."""
        if not self._answers:
            return min(FIRST_ANSWER_TOKENS, context // slots // 4)
        if self._usual is None:
            ranked = sorted(self._answers)
            self._usual = ranked[math.ceil(0.9 * len(ranked)) - 1]
        return self._usual
