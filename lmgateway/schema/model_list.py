"""The JSON of GET /admin/models."""

from __future__ import annotations

from typing import Annotated, Literal

from .common import Message, about
from .models import DownloadedModel, LoadedModel
from .queue import Origin


class LoadedModelReport(LoadedModel, frozen=True, kw_only=True):
    """A model in memory, with what runs on it and how long it stays."""

    box: Annotated[str, about("The name of the LM Studio.")]
    state: Annotated[
        Literal["resident", "draining", "unloading"],
        about("`draining`: it gets no new request, and is unloaded when those that run have ended."),
    ]
    origin: Annotated[
        Origin,
        about(
            "Who loaded it: the gateway for a request (`on-demand`), somebody through the gateway "
            "(`loaded`), or anybody else (`outside`)."
        ),
    ]
    pinned: Annotated[bool, about("Whether the gateway never unloads it: its model is in `residency.pin`.")]
    slots: Annotated[int, about("How many requests run on it at once.")]
    running: Annotated[int, about("Requests of the gateway that run on it.")]
    waiting: Annotated[int, about("Requests in line for its model.")]
    idle_ms: Annotated[int, about("How long it has been without a request of the gateway; 0 if one runs.")]
    idle_limit_ms: Annotated[
        int | None,
        about(
            "After so long without a request it is unloaded: by the gateway (`residency.idle_minutes`), or "
            "by LM Studio (`ttlMs`). Null if it stays."
        ),
    ]


class DownloadedModelReport(DownloadedModel, frozen=True, kw_only=True):
    """A model on disk, with what the configuration says of it."""

    aliases: Annotated[
        tuple[str, ...], about("Other names, or globs of names, that requests may use for it.")
    ]
    pinned: Annotated[bool, about("Whether the gateway keeps it in memory: it is in `residency.pin`.")]
    boxes: Annotated[tuple[str, ...], about("The names of the LM Studios that have it.")]


class ModelList(Message, frozen=True, kw_only=True):
    loaded: tuple[LoadedModelReport, ...]
    downloaded: tuple[DownloadedModelReport, ...]
