"""What the residency wants done, and what comes of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from msgspec import Struct

from ...errors import GatewayError
from ...schema.common import ModelType
from ..slots import Instance
from ..tickets import Ticket


class Target(NamedTuple):
    """A model that requests need in memory; `instance` is the only identifier that they accept, if any."""

    model: str
    instance: str | None = None


class Load(Struct, frozen=True, eq=False):
    """Load a model. Exactly one `Residency.load_ended` follows, also if it is cancelled or hangs."""

    target: Target
    kind: ModelType


class Unload(Struct, frozen=True, eq=False):
    """Unload an instance if nothing runs on it, by LM Studio's own count. One `unload_ended` follows."""

    instance: Instance


class Refuse(Struct, frozen=True, eq=False):
    """End a request that waits in line: it is in line no more."""

    ticket: Ticket
    error: GatewayError


Effect = Load | Unload | Refuse


class Loaded(NamedTuple):
    """The instance that a load has ended with."""

    identifier: str


class LoadFailure(NamedTuple):
    """Why a load has failed, in LM Studio's words.

    `no_link`: LM Studio's SDK can't be reached. `missing`: it has no such model.
    """

    reason: Literal["no_memory", "no_link", "missing", "other"]
    message: str


LoadOutcome = Loaded | LoadFailure
# `busy`: somebody's requests run on it. `failed`: LM Studio couldn't be asked, or didn't unload it.
UnloadOutcome = Literal["gone", "busy", "failed"]
