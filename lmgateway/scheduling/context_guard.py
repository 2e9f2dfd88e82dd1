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
# How much a new measurement counts.
_WEIGHT = 0.2


class ContextNeeds:
    """What the requests of one model need, learned from those that have ended."""

    def __init__(self) -> None:
        self._bytes_per_token = FIRST_BYTES_PER_TOKEN
        self._answers: deque[int] = deque(maxlen=ANSWERS)
        self._usual: int | None = None

    def learn(self, prompt_bytes: int, prompt_tokens: int | None, answer_tokens: int | None) -> None:
        """Learn from a request that has ended. What LM Studio didn't report is None."""
        if prompt_tokens and prompt_bytes:
            measured = prompt_bytes / prompt_tokens
            self._bytes_per_token += _WEIGHT * (measured - self._bytes_per_token)
        if answer_tokens:
            self._answers.append(answer_tokens)
            self._usual = None

    def of(self, ticket: Ticket, context: int, slots: int) -> int:
        """Return the tokens to reserve for a request, in a context shared by so many."""
        answer = self._usual_answer(context, slots)
        if ticket.max_tokens is not None:
            answer = min(answer, ticket.max_tokens)
        return math.ceil(ticket.prompt_bytes / self._bytes_per_token) + ticket.earlier_tokens + answer

    def _usual_answer(self, context: int, slots: int) -> int:
        """Return the 90th percentile of the last answers."""
        if not self._answers:
            return min(FIRST_ANSWER_TOKENS, context // slots // 4)
        if self._usual is None:
            ranked = sorted(self._answers)
            self._usual = ranked[math.ceil(0.9 * len(ranked)) - 1]
        return self._usual
