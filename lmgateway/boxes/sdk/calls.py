"""The gateway's calls to LM Studio through its SDK, each with a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from ...config import LMStudio, seconds
from ...errors import LinkLost, StudioFailed, UpstreamSilent
from ...schema.common import ModelType
from ...schema.models import DownloadedModel, LoadedModel
from ...untrusted import count
from .. import inventory
from ..catalogue import Catalogue
from ..inventory import NewInstance
from ..listing import InstanceDetails
from ..origin import Origin
from . import library as sdk
from . import prompts
from .library import Parameter, SdkClient
from .links import SdkLinks

Namespace = Literal["llm", "embedding", "system"]
# Far above what LM Studio can have open.
MAX_REQUESTS = 10**6


class SdkCalls:
    """Every method raises UpstreamUnavailable (LinkLost after the call was sent), UpstreamSilent, and what
    library.translate returns.
    """

    def __init__(self, config: LMStudio, links: SdkLinks, catalogue: Catalogue | None = None) -> None:
        """Each call uses the link to the configured address, with the configured token.

        `catalogue` receives each list.
        """
        self.origin = Origin.of(config)
        self._config = config
        self._links = links
        self._catalogue = Catalogue() if catalogue is None else catalogue
        self._oddities = inventory.Oddities()

    async def version(self) -> str | None:
        """Return LM Studio's version, None if it doesn't report one. Makes one attempt to connect."""
        return inventory.version(await self._call("system", "version", attempts=1))

    async def downloaded(self, *, attempts: int | None = None) -> tuple[DownloadedModel, ...]:
        """Return the models on disk. `attempts` as for SdkLinks.connection."""
        entries = await self._call("system", "listDownloadedModels", attempts=attempts)
        models = self._oddities.read(inventory.downloaded, entries)
        self._catalogue.put_downloaded(models)
        return models

    async def loaded(self, *, attempts: int | None = None) -> tuple[LoadedModel, ...]:
        """Return the instances in memory. `attempts` as for SdkLinks.connection."""
        lists = await self._loaded_lists(attempts)
        instances = tuple(
            instance for answer in lists for instance in self._oddities.read(inventory.loaded, answer)
        )
        self._catalogue.put_loaded(instances)
        return instances

    async def references(self, *, attempts: int | None = None) -> dict[str, str | None]:
        """Return LM Studio's reference of each instance in memory, by identifier; None if it has none.

        `attempts` as for SdkLinks.connection. Raises StudioFailed if LM Studio's list can't be read.
        """
        references: dict[str, str | None] = {}
        for answer in await self._loaded_lists(attempts):
            listed = inventory.references(answer)
            if listed is None:
                raise StudioFailed(sdk.NOT_UNDERSTOOD)
            references |= listed
        return references

    async def _loaded_lists(self, attempts: int | None) -> list[Any]:
        asked = (self._call(kind, "listLoaded", attempts=attempts) for kind in inventory.KINDS)
        return await asyncio.gather(*asked)

    async def load_config(
        self, kind: ModelType, identifier: str, *, attempts: int | None = None
    ) -> dict[str, object]:
        """Return the settings that an instance was loaded with, by the names of a LoadConfig.

        `attempts` as for SdkLinks.connection.
        """
        parameter = {"specifier": _specifier(identifier)}
        return sdk.parse_load_config(await self._call(kind, "getLoadConfig", parameter, attempts=attempts))

    async def details(self, kind: ModelType, identifier: str) -> InstanceDetails:
        """Return an instance's slots and context. Makes one attempt to connect."""
        config = await self.load_config(kind, identifier, attempts=1)
        return InstanceDetails.plausible(*map(config.get, ("parallel", "contextLength", "useUnifiedKvCache")))

    async def count_requests(self, kind: ModelType, identifier: str) -> int:
        """Return how many requests LM Studio counts on an instance, also those that wait inside it.

        Makes one attempt to connect. Raises ModelNotFound if no instance has this identifier. An LM Studio
        that lacks this call doesn't answer to it: UpstreamSilent.
        """
        parameter = {"specifier": _specifier(identifier), "throwIfNotFound": True}
        state = await self._call(kind, "getInstanceProcessingState", parameter, attempts=1)
        counted = count(state.get("queued"), MAX_REQUESTS) if isinstance(state, dict) else None
        if counted is None:
            raise StudioFailed(sdk.NOT_UNDERSTOOD)
        return counted

    async def count_prompt(
        self, identifier: str, history: Mapping[str, object], tools: Sequence[Mapping[str, object]]
    ) -> int:
        """Return the tokens of the prompt that the instance's template makes of a conversation."""
        specifier = _specifier(identifier)
        conversation = prompts.template_parameter(specifier, history, tools)
        rendered = await self._call("llm", "applyPromptTemplate", conversation)
        text = {"specifier": specifier, "inputString": prompts.parse_prompt(rendered)}
        return prompts.parse_count(await self._call("llm", "countTokens", text))

    async def unload(self, kind: ModelType, identifier: str) -> None:
        """Unload an instance. Raises ModelNotFound if no instance has this identifier."""
        try:
            await self._call(kind, "unloadModel", {"identifier": identifier}, retry=False)
        finally:
            self._catalogue.expire()

    async def load(
        self,
        kind: ModelType,
        model_key: str,
        identifier: str | None,
        ttl_seconds: int | None,
        config: Mapping[str, object],
        *,
        on_progress: Callable[[float], None],
        cancelled: asyncio.Event,
    ) -> NewInstance:
        """Load a model and return what LM Studio calls the instance. Setting `cancelled` cancels it.

        `on_progress` is called with 0 to 1. A cancelled load raises what LM Studio reports, mostly
        StudioFailed.
        """
        loop, patience = asyncio.get_running_loop(), seconds(self._config.load_timeout_ms)
        async with self._links.connection(self._config) as client:
            try:
                async with asyncio.timeout(patience) as deadline:

                    def progressed(fraction: float) -> None:
                        if patience is not None:
                            deadline.reschedule(loop.time() + patience)
                        on_progress(fraction)

                    settings = (model_key, identifier, ttl_seconds, config)
                    async with (
                        sdk.load_channel(client, kind, *settings, progressed) as channel,
                        _cancelling(channel, cancelled),
                    ):
                        assigned = await sdk.loaded_instance(channel)
                        return assigned._replace(identifier=assigned.identifier or identifier or model_key)
            except TimeoutError as exc:
                raise UpstreamSilent("The load made no progress. LM Studio may be frozen.") from exc
            except sdk.SdkError as exc:
                raise sdk.translate(exc) from exc
            finally:
                self._catalogue.expire()

    async def _call(
        self,
        namespace: Namespace,
        endpoint: str,
        parameter: Mapping[str, object] | None = None,
        *,
        attempts: int | None = None,
        retry: bool = True,
    ) -> Any:
        """Return the result of a remote call, as plain data.

        With `retry`, which is only for idempotent calls, the call is retried once on a new connection if the
        connection was dead.
        """
        argument = None if parameter is None else Parameter(parameter)
        try:
            async with self._links.connection(self._config, attempts) as client:
                return await self._ask(client, namespace, endpoint, argument)
        except LinkLost:
            if not retry:
                raise
        return await self._call(namespace, endpoint, parameter, attempts=attempts, retry=False)

    async def _ask(
        self, client: SdkClient, namespace: Namespace, endpoint: str, argument: Parameter | None
    ) -> Any:
        try:
            async with asyncio.timeout(seconds(self._config.call_timeout_ms)):
                return await getattr(client, namespace).remote_call(endpoint, argument)
        except TimeoutError as exc:
            raise UpstreamSilent(f"LM Studio didn't answer to {endpoint}. It may be frozen.") from exc
        except sdk.SdkError as exc:
            raise sdk.translate(exc) from exc


def _specifier(identifier: str) -> dict[str, object]:
    return {"type": "query", "query": {"identifier": identifier}}


@asynccontextmanager
async def _cancelling(channel: Any, cancelled: asyncio.Event) -> AsyncIterator[None]:
    """Send the channel's cancel message if the event is set inside this block."""

    async def cancel() -> None:
        await cancelled.wait()
        with suppress(sdk.SdkError):  # on a dead connection the load itself raises
            await channel.cancel()

    waiting = asyncio.create_task(cancel())
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
