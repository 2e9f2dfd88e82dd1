"""What to do after a round of delivery: a pure decision on what came back."""

from __future__ import annotations

from typing import Literal

from ..errors import GatewayError, UpstreamNotReached

Verdict = Literal["pass on", "send again", "fail"]
# Of a request that LM Studio can't have begun.
_MAX_ROUNDS = 2


def judge(failure: GatewayError | None, rounds: int) -> Verdict:
    """Decide on LM Studio's response, or on why there is none, after so many rounds.

    Only where no connection could be made is the request sent again: after anything else LM Studio may have
    begun, and would do the work twice.
    """
    if failure is None:
        return "pass on"
    if isinstance(failure, UpstreamNotReached) and rounds < _MAX_ROUNDS:
        return "send again"
    return "fail"
