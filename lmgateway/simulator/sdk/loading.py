"""The channels that load models."""

from typing import Annotated

import msgspec

from ..engine.catalogue import Domain, Model
from ..engine.faults import LoadCancelled
from ..engine.instance import Instance
from ..engine.load_config import ConfigStack
from ..engine.load_order import LoadOrder
from ..engine.load_records import Origin
from ..engine.studio import Studio
from .endpoints import Channel, Stopped

Milliseconds = Annotated[int, msgspec.Meta(ge=1)]


class LoadModel(msgspec.Struct, frozen=True, rename="camel"):
    model_key: str
    load_config_stack: ConfigStack
    identifier: str | None = None
    ttl_ms: Milliseconds | None = None


class GetOrLoad(msgspec.Struct, frozen=True, rename="camel"):
    """`identifier` may be a loaded instance's or a model's key."""

    identifier: str
    load_config_stack: ConfigStack
    load_ttl_ms: Milliseconds | None = None


class Loading:
    """A load is cancelled by the packet `{"type":"cancel"}`, or by closing the socket."""

    def __init__(self, studio: Studio, domain: Domain) -> None:
        self._studio = studio
        self._domain = domain

    async def load_model(self, parameter: LoadModel, channel: Channel) -> None:
        """Sends resolved, progress …, success."""
        model = self._studio.on_disk(parameter.model_key, self._domain)
        await channel.send({"type": "resolved", "info": self._studio.catalogue.description(model)})
        order = _order(model, parameter.load_config_stack, parameter.ttl_ms, "sdk", parameter.identifier)
        instance = await self._load(order, channel, progress="progress")
        await channel.send({"type": "success", "info": self._studio.memory.description(instance)})

    async def get_or_load(self, parameter: GetOrLoad, channel: Channel) -> None:
        """Sends alreadyLoaded; or startLoading, unloadingOtherJITModel …, loadProgress …, loadSuccess."""
        memory = self._studio.memory
        loaded = memory.find(parameter.identifier, self._domain)
        if loaded is not None:
            await channel.send({"type": "alreadyLoaded", "info": memory.description(loaded)})
            return
        model = self._studio.on_disk(parameter.identifier, self._domain)
        info = self._studio.catalogue.description(model)
        await channel.send({"type": "startLoading", "identifier": model.model_key, "info": info})
        for evicted in self._studio.auto_evict(self._domain):
            await channel.send({"type": "unloadingOtherJITModel", "info": memory.description(evicted)})
        order = _order(model, parameter.load_config_stack, parameter.load_ttl_ms, "jit")
        instance = await self._load(order, channel, progress="loadProgress")
        await channel.send({"type": "loadSuccess", "info": memory.description(instance)})

    async def _load(self, order: LoadOrder, channel: Channel, *, progress: str) -> Instance:
        async def report(fraction: float) -> None:
            await channel.send({"type": progress, "progress": fraction})

        try:
            return await channel.until_stopped(self._studio.load_slowly(order, report))
        except Stopped:
            raise LoadCancelled from None


def _order(
    model: Model, stack: ConfigStack, ttl_ms: int | None, origin: Origin, identifier: str | None = None
) -> LoadOrder:
    return LoadOrder(
        model=model,
        identifier=identifier,
        settings=stack.settings(),
        origin=origin,
        ttl_seconds=None if ttl_ms is None else ttl_ms / 1000,
    )
