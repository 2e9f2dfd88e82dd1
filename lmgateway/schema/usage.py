"""The JSON of /admin/usage."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, UnsetType

from .common import Message, about


class UsageSum(Message, frozen=True, kw_only=True):
    """The requests, tokens and times of one row, and of which month, day, hour, key, model or box they are.

    Tokens that LM Studio didn't report aren't in them: see `untold`.
    """

    month: Annotated[str, about("A month of the gateway's zone, such as `2027-01`.")] | UnsetType = UNSET
    day: Annotated[str, about("A day of the gateway's zone.")] | UnsetType = UNSET
    hour: Annotated[str, about("When an hour of the gateway's zone began.")] | UnsetType = UNSET
    key: Annotated[str, about("The key's name; also `owner` and `anyone`.")] | UnsetType = UNSET
    model: (
        Annotated[
            str,
            about(
                "The key of the model that answered. `other` is one that LM Studio doesn't list. Empty if "
                "none is involved."
            ),
        ]
        | UnsetType
    ) = UNSET
    box: Annotated[str, about("The LM Studio that answered. Empty if none did.")] | UnsetType = UNSET
    requests: Annotated[int, about("Requests that ended, but for those that the gateway refused.")]
    errors: Annotated[int, about("The requests in which LM Studio failed.")]
    refused: Annotated[int, about("Requests that the gateway refused. They count nowhere else.")]
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: Annotated[int, about("The part of `completionTokens` that is reasoning.")]
    gpu_ms: Annotated[int, about("The time from sending each generation and embedding to its end.")]
    wait_ms: Annotated[int, about("How long the requests waited in the gateway.")]
    untold: Annotated[
        int,
        about(
            "Requests that ran a model and whose tokens LM Studio didn't report, or not all of them, for "
            "example because their clients left. What was received until then is counted."
        ),
    ]


class UsageReport(Message, frozen=True, kw_only=True):
    """The sums of the hours that begin from `since` until before `until`, sorted in the order of `by`."""

    since: str
    until: str
    by: tuple[str, ...]
    rows: list[UsageSum]
    total: UsageSum
