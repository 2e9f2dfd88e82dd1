"""What the residency wants done, and what comes of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from ...errors import GatewayError
from ...schema.common import ModelType
from ..slots import Instance
from ..tickets import Ticket, Wanted


class Load(Struct, frozen=True, eq=False):
    """Load a model. Exactly one `Residency.load_ended` follows, also if it is cancelled or hangs."""

    target: Wanted
    kind: ModelType


class Unload(Struct, frozen=True, eq=False):
    """Unload an instance if nothing runs on it, by LM Studio's own count. One `unload_ended` follows.

    `is_forced`: unload it whatever runs.
    """

    instance: Instance
    is_forced: bool = False


class Refuse(Struct, frozen=True, eq=False):
    """End a request that waits in line: it is in line no more."""

    ticket: Ticket
    error: GatewayError


class DrainStart(Struct, frozen=True, eq=False):
    """An instance gets no new request. `wanted` is the model that it makes room for, if any."""

    instance: Instance
    wanted: str | None


class DrainEnd(Struct, frozen=True, eq=False):
    """An instance that drained is gone, or gets requests again."""

    instance: Instance
    outcome: Literal["unloaded", "revoked"]


class SwapEnd(Struct, frozen=True, eq=False):
    """A model has taken the place of another one, or was to take it."""

    result: SwapResult


SwapResult = Literal["completed", "revoked", "failed"]
Effect = Load | Unload | Refuse | DrainStart | DrainEnd | SwapEnd


class Loaded(NamedTuple):
    """The instance that a load has ended with; `was_there` if it was in memory before."""

    identifier: str
    was_there: bool = False


class LoadFailure(NamedTuple):
    """Why a load has failed, in LM Studio's words.

    `no_link`: LM Studio's SDK can't be reached. `missing`: it has no such model. `refused`: somebody's load
    couldn't be done as it was asked for, which says nothing about others. `passing` are the instances in
    memory that LM Studio would unload by itself, if there was no memory.
    """

    reason: Literal["no_memory", "no_link", "missing", "cancelled", "refused", "other"]
    words: str
    passing: frozenset[str] = frozenset()


LoadOutcome = Loaded | LoadFailure


class Unloaded(NamedTuple):
    """`busy`: requests run on it, of which LM Studio counts so many. `failed`: it couldn't be unloaded.

    `kept`: somebody else has loaded it anew. `revoked`: it was to be unloaded, and isn't any more.
    """

    outcome: Literal["gone", "busy", "kept", "revoked", "failed"]
    counted: int = 0
    error: GatewayError | None = None
