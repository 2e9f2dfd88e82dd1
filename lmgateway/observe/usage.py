"""The counts of the ledger, and what one request adds to them."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, structs

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


class Counts(Struct):
    """Sums, which the owner adds to. Requests that the gateway refused are only in `refused`.

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

    def add_record(self, record: RequestRecord) -> None:
        if record.counts_as == "refused":
            self.refused += 1
            return
        self.requests += 1
        if record.counts_as == "error":
            self.errors += 1
        if (usage := record.usage) is not None:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens
            if usage.reasoning_tokens:
                self.reasoning_tokens += usage.reasoning_tokens
        self.gpu_ms += record.gpu_ms
        if record.queued_ms:
            self.wait_ms += record.queued_ms
        if record.is_untold:
            self.untold += 1

    def add(self, other: Counts) -> None:
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def values(self) -> tuple[int, ...]:
        return structs.astuple(self)


COUNTS = Counts.__struct_fields__
