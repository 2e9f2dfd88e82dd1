"""The JSON of /admin/boxes."""

from __future__ import annotations

from typing import Annotated, Literal

from .common import Message, about

BoxState = Literal["up", "down", "waking", "draining"]


class BoxReport(Message, frozen=True, kw_only=True):
    """One LM Studio."""

    box: Annotated[str, about("Its name in the configuration.")]
    state: Annotated[
        BoxState,
        about(
            "`down` if LM Studio doesn't answer, also while its machine sleeps; `waking` while that is woken "
            "up; `draining` if it gets only requests that can go nowhere else."
        ),
    ]
    latency_ms: Annotated[
        int | None, about("How long its last greeting took, in milliseconds; null if it isn't known.")
    ]
    version: Annotated[str | None, about("The version of LM Studio, null if it isn't known.")]
    models: Annotated[tuple[str, ...], about("The keys of the models that it had when it was asked last.")]
    running: Annotated[int, about("Requests of the gateway that run on it.")]
    waiting: Annotated[int, about("Requests in line that can only go to it, or whose model it loads.")]


class BoxAnswer(BoxReport, frozen=True, kw_only=True):
    """An LM Studio after a change."""

    message: str


class BoxList(Message, frozen=True, kw_only=True):
    """The LM Studios behind the gateway, in the order of the configuration."""

    boxes: Annotated[tuple[BoxReport, ...], about("All of them, also the only one.")]
