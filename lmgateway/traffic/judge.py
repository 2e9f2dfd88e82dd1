"""Whether a failed request to LM Studio is retried: a pure decision."""

from __future__ import annotations

from typing import Literal

from ..errors import GatewayError, UpstreamNotReached

Verdict = Literal["retry", "fail"]
# The first attempt and one retry.
_MAX_ROUNDS = 2


def judge(failure: GatewayError, rounds: int) -> Verdict:
    """Decide what follows a failure; `rounds` is the number of attempts so far.

    A request is retried only if no connection could be made. After any other failure LM Studio may have
    begun the work, and would do it twice.
    """
    if isinstance(failure, UpstreamNotReached) and rounds < _MAX_ROUNDS:
        return "retry"
    return "fail"
