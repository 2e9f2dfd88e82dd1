"""Gives what somebody asks of the models in memory to the box that it is for."""

from __future__ import annotations

from ..boxes.box import Box
from ..boxes.load_in_progress import LoadProfiles
from ..boxes.load_order import LoadedInstance
from ..errors import UpstreamUnavailable
from ..models.memory import Drain
from ..schema.common import ModelType
from ..schema.models import LoadRequest
from .awaken import awaken
from .stations import Stations

_NEEDED = "a load needs it"
_GONE = "The LM Studio {} isn't configured any more."


class Wishes:
    """The ModelMemory."""

    def __init__(self, stations: Stations) -> None:
        self._stations = stations

    async def load(self, request: LoadRequest, box: Box, profiles: LoadProfiles) -> LoadedInstance:
        """Load a model, or return the instance that it has. A machine that sleeps is woken up for it.

        Raises as Loads.load, UpstreamUnavailable, and BoxAsleep.
        """
        station = self._stations.get(box.name)
        if station is None:
            raise UpstreamUnavailable(_GONE.format(box.name))
        await awaken(box, _NEEDED)
        box.used()
        return await station.wishes.load(request, box, profiles)

    async def unload(self, kind: ModelType, identifier: str, box: Box, drain: Drain) -> None:
        """Unload an instance. Raises as ModelMemory.unload."""
        station = self._stations.get(box.name)
        if station is None:
            raise UpstreamUnavailable(_GONE.format(box.name))
        box.used()
        await station.wishes.unload(kind, identifier, box, drain)
