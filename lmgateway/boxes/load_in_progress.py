"""One load in progress, and which requests it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct
from yarl import URL

from ..schema.models import InstanceRequest, LoadConfig
from .load_order import LoadedInstance
from .sdk.calls import SdkCalls

# By model key: the settings for a request without a load_config.
LoadProfiles = Mapping[str, LoadConfig]


class LastSettings(Protocol):
    """Remembers what each model was last loaded with through the gateway."""

    def settings(self, model: str) -> LoadConfig | None: ...

    def remember_settings(self, model: str, settings: LoadConfig) -> None: ...


class LoadKey(Struct, frozen=True):
    """Loads with equal keys are one load.

    `load_config` is the request's if that `is_explicit`, else the one that the gateway has for the requested
    name; None if it has none.
    """

    base_url: URL
    model_key: str
    instance_id: str | None
    ttl_seconds: int | None
    load_config: LoadConfig | None
    is_explicit: bool
    another: bool

    def has_name_of(self, other: LoadKey) -> bool:
        """True if both load an instance of the same identifier, which was requested."""
        return self.instance_id is not None and self._instance == other._instance

    def is_answered_by(self, other: LoadKey) -> bool:
        """True if the other one loads the instance that this one needs, under the requested identifier."""
        return (
            self.has_name_of(other)
            and self.model_key == other.model_key
            and (not self.is_explicit or self.load_config == other.load_config)
            and self.ttl_seconds in {None, other.ttl_seconds}
        )

    @property
    def _instance(self) -> tuple[URL, str | None]:
        return self.base_url, self.instance_id

    def matches(self, request: InstanceRequest) -> bool:
        """True if a request to cancel loads is about this one."""
        if request.instance_id is not None:
            return (self.model_key, self.instance_id) == (request.model_key, request.instance_id)
        return request.model_key in {self.model_key, self.instance_id}


class LoadInProgress:
    """One load, which any number of callers may wait for. `on_demand`: it was begun for requests."""

    def __init__(self, key: LoadKey, calls: SdkCalls, profiles: LoadProfiles, *, on_demand: bool) -> None:
        self.key = key
        self.calls = calls
        self.profiles = profiles
        self.on_demand = on_demand
        self.activates = False
        self.cancelled = asyncio.Event()
        self.task: asyncio.Task[LoadedInstance]
