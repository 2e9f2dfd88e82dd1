"""What to do after a round of delivery that brought no response: a pure decision."""

from __future__ import annotations

from typing import Literal

from ..errors import GatewayError, UpstreamNotReached

Verdict = Literal["send again", "fail"]
# Of a request that LM Studio can't have begun.
_MAX_ROUNDS = 2


def judge(failure: GatewayError, rounds: int) -> Verdict:
    """Decide what follows this failure after so many rounds; a response is passed on.

    Only where no connection could be made is the request sent again: after anything else LM Studio may have
    begun, and would do the work twice.
    """
    if isinstance(failure, UpstreamNotReached) and rounds < _MAX_ROUNDS:
        return "send again"
    return "fail"
