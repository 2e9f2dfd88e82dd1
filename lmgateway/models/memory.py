"""The owner of the models in memory, as an operation of an admin sees it."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..boxes.box import Box
from ..boxes.load_in_progress import LoadProfiles
from ..boxes.load_order import LoadedInstance
from ..schema.common import ModelType
from ..schema.models import LoadRequest

USUAL_DRAIN_SECONDS = 30.0


class Drain:
    """What an unload does about the requests that run: it waits for them, or with `force` ends them.

    `given_up` is set when the caller has left: an unload that still waits is taken back then.
    """

    def __init__(self, seconds: float, *, force: bool = False) -> None:
        self.seconds = seconds
        self.force = force
        self.given_up = asyncio.Event()


class ModelMemory(Protocol):
    """Loads and unloads models, together with those that are loaded and unloaded for requests."""

    async def load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model, or return the instance that it has. Raises as Loads.load."""

    async def unload(self, kind: ModelType, identifier: str, box: Box, drain: Drain) -> None:
        """Unload an instance. Its events are published; one that somebody else has unloaded is no error.

        Raises Conflict if requests still run on it after `drain.seconds`, or if it is loaded again
        meanwhile, GatewayEnding, and as SdkCalls.unload.
        """
