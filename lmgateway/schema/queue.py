"""The JSON of /debug/queue."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType, field

from .common import Message, about
from .debug import Phase
from .keys import Priority

InstanceState = Literal["resident", "draining", "loading", "unloading"]
Origin = Literal["on-demand", "loaded", "outside"]
WaitReason = Literal["slot", "key_limit", "context", "model", "box"]
RunningPhase = Literal[Phase, "lingering"]


class QueueInstance(Message, frozen=True, kw_only=True):
    """A model in memory, and how many requests it runs."""

    box: Annotated[str, about("The name of the LM Studio.")]
    instance: Annotated[str, about("The instance's identifier.")]
    model: Annotated[str, about("The model's key.")]
    state: Annotated[
        InstanceState, about("`draining` if it gets no new request, because it is to be unloaded.")
    ]
    slots: Annotated[int, about("How many requests run on it at once.")]
    ours: Annotated[int, about("Requests of the gateway that run on it.")]
    outside: Annotated[int, about("Requests that run on it, but didn't come through the gateway.")]
    idle_ms: Annotated[int, about("How long it has been without a request of the gateway; 0 if one runs.")]
    pinned: Annotated[bool, about("Whether the gateway never unloads it.")]
    origin: Annotated[Origin, about("Who loaded it.")]


class WaitingRequest(Message, frozen=True, kw_only=True):
    """A request that waits in line."""

    request_id: str
    key: Annotated[str, about("The name of the caller's key.")]
    user: Annotated[str, about("The user, if the key's turn is split among its users.")] | UnsetType = UNSET
    priority: Annotated[Priority, about("Interactive requests run before background ones.")] = field(
        name="class"
    )
    model: str
    reason: Annotated[
        WaitReason,
        about(
            "It waits for a slot of an instance, for another request of its key (`limits.running`), for room "
            "in the shared context, for its model to be loaded, or for an LM Studio that can be reached."
        ),
    ]
    ahead: Annotated[
        int,
        about("How many of the waiting requests are before it. More if a key comes that has had less."),
    ]
    waited_ms: int
    eta_ms: Annotated[
        int | None,
        about("When it may run, estimated by the length of recent answers; null if none is known."),
    ]


class RunningLease(Message, frozen=True, kw_only=True):
    """A request that LM Studio processes."""

    request_id: str
    key: Annotated[str, about("The name of the caller's key.")]
    model: str
    box: str
    phase: Annotated[
        RunningPhase, about("`lingering`: its client has left, and LM Studio still processes its prompt.")
    ]
    gpu_ms: Annotated[int, about("Its part of the machine's time until now.")]


class KeyShare(Message, frozen=True, kw_only=True):
    """What one account has had of the machine: a key's, or that of an address or user behind it."""

    key: Annotated[
        str,
        about(
            "The key's name; `(outside)` for requests that didn't come through the gateway, and for loads "
            "for which no request waits."
        ),
    ]
    address: Annotated[str, about("The address, while there is only one caller.")] | UnsetType = UNSET
    user: Annotated[str, about("The user, if the key's turn is split among its users.")] | UnsetType = UNSET
    share: Annotated[float, about("The key's weight beside other keys.")]
    running: int
    waiting: int
    gpu_ms: Annotated[int, about("Its part of the machine's time since the gateway started.")]
    behind_ms: Annotated[
        int, about("How much less it has had, divided by its share, than the account with the most.")
    ]


class Swap(Message, frozen=True, kw_only=True):
    """A model that leaves the memory for another."""

    from_: Annotated[str, about("The model that is unloaded.")] = field(name="from")
    to: Annotated[str, about("The model that is loaded.")]
    state: InstanceState
    since_ms: int
    eta_ms: Annotated[int | None, about("When the new model is in memory; null if unknown.")]


class QueueReport(Message, frozen=True, kw_only=True):
    """The line before the GPU: the instances, who waits, who runs, and what each key has had."""

    instances: list[QueueInstance]
    waiting: list[WaitingRequest]
    running: list[RunningLease]
    keys: list[KeyShare]
    swap: Swap | None = None
