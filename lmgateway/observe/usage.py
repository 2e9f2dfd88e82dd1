"""What one request adds to the ledger."""

from __future__ import annotations

from operator import add
from typing import NamedTuple

from .record import RequestRecord


class UsageRow(NamedTuple):
    """What counts are kept for. `hour` is the Unix second at which a local hour began.

    `model` is a model's key, `other` for one that LM Studio doesn't list, and empty if none is involved.
    `box` is empty if none got the request.
    """

    hour: int
    key: str
    model: str
    box: str


class Counts(NamedTuple):
    """Sums. Requests that the gateway refused are only in `refused`.

    `untold` are the requests whose tokens LM Studio didn't report, or not all of them.
    """

    requests: int = 0
    errors: int = 0
    refused: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    gpu_ms: int = 0
    wait_ms: int = 0
    untold: int = 0

    def plus(self, other: Counts) -> Counts:
        return Counts(*map(add, self, other))


def counts_of(record: RequestRecord) -> Counts:
    if record.counts_as == "refused":
        return Counts(refused=1)
    usage = record.usage
    return Counts(
        requests=1,
        errors=int(record.counts_as == "error"),
        prompt_tokens=0 if usage is None else usage.prompt_tokens,
        completion_tokens=0 if usage is None else usage.completion_tokens,
        reasoning_tokens=0 if usage is None else usage.reasoning_tokens or 0,
        gpu_ms=record.gpu_ms,
        wait_ms=record.queued_ms,
        untold=int(record.is_untold),
    )
