"""The operation of /admin/usage."""

from __future__ import annotations

from msgspec import structs

from ...errors import ValidationFailed
from ...observe.usage import Counts
from ...schema.usage import UsageReport, UsageSum
from ...storage.usage import Dimension, Sum
from .. import usage
from .examples import MODEL
from .key_examples import NAME
from .operation import Body, Operation, Parameter, answer

TAG = "Usage"

_COUNTS = Counts(
    requests=120,
    errors=1,
    refused=3,
    prompt_tokens=48_200,
    completion_tokens=30_750,
    reasoning_tokens=9_400,
    gpu_ms=512_000,
    wait_ms=18_000,
    untold=2,
)
_DAY = "2026-03-14"
_BY: tuple[Dimension, ...] = ("day", "key", "model")
_REPORT = UsageReport(
    since="2026-03-07T23:00:00.000Z",
    until="2026-03-14T10:00:00.000Z",
    by=_BY,
    rows=[UsageSum(day=_DAY, key=NAME, model=MODEL, **structs.asdict(_COUNTS))],
    total=UsageSum(**structs.asdict(_COUNTS)),
)
_TIME = "A date (from midnight in the gateway's time zone), or a time in ISO 8601."

USAGE_OPERATIONS = (
    Operation(
        "GET",
        "/admin/usage",
        usage.usage,
        scope="observe",
        tag=TAG,
        summary="See who used how much",
        description=(
            "Counts are kept for each hour of the gateway's time zone, so the range is widened to whole "
            "hours; `since` and `until` of the response say to which. Requests that still run aren't "
            "counted."
        ),
        parameters=(
            Parameter(
                name="since",
                place="query",
                description=f"{_TIME} By default midnight six days ago.",
                example="2026-03-08",
            ),
            Parameter(
                name="until",
                place="query",
                description=f"{_TIME} What follows it isn't included. By default now.",
                example="2026-03-15",
            ),
            Parameter(
                name="by",
                place="query",
                description=(
                    "By what the counts are grouped: one or several, in the order in which the rows are "
                    "sorted."
                ),
                example="day,key,model",
                listed=usage.DIMENSIONS,
            ),
            Parameter(
                name="format",
                place="query",
                description="`json` (the default) or `csv`.",
                example="json",
            ),
        ),
        answers={
            200: answer(
                "The sum of each group, as JSON, or as a CSV file (RFC 4180) with a header line.",
                _REPORT,
                Body(
                    media_type="text/csv",
                    example=usage.csv_head(_BY) + usage.csv_of(_BY, [Sum((_DAY, NAME, MODEL), _COUNTS)]),
                ),
            )
        },
        raises=(ValidationFailed,),
    ),
)
