"""The gateway's own events, as /debug/stream sends them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Struct, UnsetType, field

from ..schema.boxes import BoxState
from ..schema.common import about
from ..schema.debug import TokenUsage
from ..schema.keys import Change, Priority
from ..schema.models import DefaultInference, LoadConfig
from ..schema.queue import WaitReason
from .clock import iso_timestamp


class Event(Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """The base of all events. `name` is the event's name on the stream.

    `holds_prompts` is true if it may hold what people wrote: only readers with the scope `log` get it.
    `most_bytes` is an upper bound of its size on the stream. Without one, the event is encoded when it is
    published, to measure it.
    """

    name: ClassVar[str]
    holds_prompts: ClassVar[bool] = False
    most_bytes: ClassVar[int | None] = None
    timestamp: str = field(default_factory=iso_timestamp)


class ModelLoadStart(Event, frozen=True, kw_only=True):
    name = "model_load_start"
    model_key: str
    instance_id: str | None
    load_config: LoadConfig | None
    box: str | UnsetType = UNSET


class ModelLoadProgress(Event, frozen=True, kw_only=True):
    """`progress` is in percent, `progress_raw` from 0 to 1."""

    name = "model_load_progress"
    model_key: str
    instance_id: str | None
    progress: float
    progress_raw: float
    box: str | UnsetType = UNSET


class ModelLoadComplete(Event, frozen=True, kw_only=True):
    name = "model_load_complete"
    model_key: str
    instance_id: str | None
    activated: bool
    total_time_ms: int
    load_config: dict[str, object]
    box: str | UnsetType = UNSET


class ModelUnloadStart(Event, frozen=True, kw_only=True):
    name = "model_unload_start"
    most_bytes = 4096
    model_key: str
    instance_id: str | None
    box: str | UnsetType = UNSET


class ModelUnloadComplete(Event, frozen=True, kw_only=True):
    name = "model_unload_complete"
    most_bytes = 4096
    model_key: str
    instance_id: str | None
    total_time_ms: int
    box: str | UnsetType = UNSET


class ModelDrainStart(Event, frozen=True, kw_only=True):
    """An instance gets no new request. `for_` is the model that needs its room, None if it was asked for."""

    name = "model_drain_start"
    most_bytes = 8192
    model_key: str
    instance_id: str
    for_: str | None = field(name="for")
    running: int
    box: str | UnsetType = UNSET


class ModelDrainEnd(Event, frozen=True, kw_only=True):
    name = "model_drain_end"
    most_bytes = 4096
    model_key: str
    instance_id: str
    outcome: Literal["unloaded", "revoked"]
    box: str | UnsetType = UNSET


class ModelActivate(Event, frozen=True, kw_only=True):
    name = "model_activate"
    model_key: str
    instance_id: str | None
    default_inference: DefaultInference


class InferenceStart(Event, frozen=True, kw_only=True):
    """`box` is left out while there are several that it may go to."""

    name = "inference_start"
    most_bytes = 6144
    request_id: str
    method: str
    path: str
    model: str | None
    client: str
    key: str
    box: str | UnsetType = UNSET


class RequestQueued(Event, frozen=True, kw_only=True):
    """`ahead` of the waiting requests are before it; `eta_ms` is an estimate of when it may run."""

    name = "request_queued"
    most_bytes = 4096
    request_id: str
    key: str
    model: str
    priority: Priority = field(name="class")
    reason: WaitReason
    ahead: int
    eta_ms: int | UnsetType = UNSET


class RequestDispatched(Event, frozen=True, kw_only=True):
    """A request that has waited runs now."""

    name = "request_dispatched"
    most_bytes = 4096
    request_id: str
    waited_ms: int
    model: str
    box: str


class InferenceComplete(Event, frozen=True, kw_only=True):
    """`served_model` is the model that answered, if another one was asked for.

    `queued_ms` is how long the request waited in line, `gpu_ms` what it had of the machine's time.
    """

    name = "inference_complete"
    most_bytes = 4096
    request_id: str
    total_time_ms: int
    token_usage: TokenUsage | None
    status: int
    ttft_ms: int | None
    tokens_per_second: float | None
    stream: bool
    key: str
    box: str
    queued_ms: int
    gpu_ms: int
    served_model: str | UnsetType = UNSET
    mended: tuple[str, ...] | UnsetType = UNSET


class BoxStateChanged(Event, frozen=True, kw_only=True):
    """A box is up, down, being woken up, or gets only requests that can go nowhere else."""

    name = "box_state"
    most_bytes = 256
    box: str
    state: Annotated[BoxState, about("Whether requests go to the LM Studio.")]
    reason: Annotated[str, about("Why it has this state now.")]


class KeyChanged(Event, frozen=True, kw_only=True):
    name = "key_changed"
    most_bytes = 256
    key: str
    change: Change


class ErrorEvent(Event, frozen=True, kw_only=True):
    name = "error"
    operation: str | UnsetType = UNSET
    model_key: str | UnsetType = UNSET
    request_id: str | UnsetType = UNSET
    error: str
    code: str | UnsetType = UNSET
    total_time_ms: int
    token_usage: TokenUsage | UnsetType = UNSET
    queued_ms: int | UnsetType = UNSET
    gpu_ms: int | UnsetType = UNSET
