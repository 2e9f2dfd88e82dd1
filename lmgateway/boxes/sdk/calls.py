"""What the gateway asks of LM Studio through its SDK, each call under a timeout."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

from ...config import LMStudio, seconds
from ...errors import LinkLost, UpstreamSilent
from ...schema.common import ModelType
from ...schema.models import DownloadedModel, LoadedModel
from .. import inventory as catalogue
from . import library as sdk
from .library import Parameter, SdkClient
from .link import Links

Namespace = Literal["llm", "embedding", "system"]


class StudioClient:
    """Every method raises UpstreamUnavailable (LinkLost in the middle of it), UpstreamSilent, and as
    sdk.translate.
    """

    def __init__(self, config: LMStudio) -> None:
        self._config = config
        self._links = Links(config)

    def reconfigure(self, config: LMStudio) -> None:
        """Make the next call by this configuration. Calls in progress go on as they began."""
        self._config = config
        self._links.reconfigure(config)

    async def close(self) -> None:
        """Let go of the connection, soon."""
        await self._links.close()

    async def version(self) -> str | None:
        """Return LM Studio's version, if it says which. Nobody waits for it to be started."""
        return catalogue.version(await self._call("system", "version", attempts=1))

    async def downloaded(self, *, attempts: int | None = None) -> tuple[DownloadedModel, ...]:
        """Return the models on disk. `attempts` as for Links.borrowed."""
        entries = await self._call("system", "listDownloadedModels", attempts=attempts)
        return tuple(map(catalogue.downloaded, catalogue.objects(entries)))

    async def loaded(self, *, attempts: int | None = None) -> tuple[LoadedModel, ...]:
        """Return the instances in memory. `attempts` as for Links.borrowed."""
        asked = (self._call(kind, "listLoaded", attempts=attempts) for kind in catalogue.KINDS)
        lists = await asyncio.gather(*asked)
        entries = (entry for answer in lists for entry in catalogue.objects(answer))
        return tuple(map(catalogue.loaded, entries))

    async def load_config(self, kind: ModelType, identifier: str) -> dict[str, object]:
        """Return the settings that an instance was loaded with, by the names of a LoadConfig."""
        specifier = {"specifier": {"type": "query", "query": {"identifier": identifier}}}
        return sdk.parse_load_config(await self._call(kind, "getLoadConfig", specifier))

    async def unload(self, kind: ModelType, identifier: str) -> None:
        """Take an instance out of memory. Raises ModelNotFound if there is none of this name."""
        await self._call(kind, "unloadModel", {"identifier": identifier}, again=False)

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
    ) -> str:
        """Load a model and return the identifier that LM Studio gave it; `cancelled` takes the load back.

        `on_progress` is called with 0 to 1. A load that was taken back ends as LM Studio ends it, mostly as
        StudioFailed.
        """
        loop, patience = asyncio.get_running_loop(), seconds(self._config.load_timeout_ms)
        async with self._links.borrowed() as link:
            try:
                async with asyncio.timeout(patience) as deadline:

                    def progressed(fraction: float) -> None:
                        if patience is not None:
                            deadline.reschedule(loop.time() + patience)
                        on_progress(fraction)

                    wanted = (model_key, identifier, ttl_seconds, config)
                    async with (
                        sdk.load_channel(link, kind, *wanted, progressed) as channel,
                        _cancelling(channel, cancelled),
                    ):
                        result = await channel.wait_for_result()
                        return str(result.identifier)
            except TimeoutError as exc:
                raise UpstreamSilent("The load made no progress. LM Studio may be frozen.") from exc
            except sdk.SdkError as exc:
                raise sdk.translate(exc) from exc

    async def _call(
        self,
        namespace: Namespace,
        endpoint: str,
        parameter: Mapping[str, object] | None = None,
        *,
        attempts: int | None = None,
        again: bool = True,
    ) -> Any:
        """Return what LM Studio answers to a remote call, as plain data.

        `again`: once more on a new link, if this one turns out to be dead. Not for what changes anything.
        """
        argument = None if parameter is None else Parameter(parameter)
        try:
            async with self._links.borrowed(attempts) as link:
                return await self._ask(link, namespace, endpoint, argument)
        except LinkLost:
            if not again:
                raise
        return await self._call(namespace, endpoint, parameter, attempts=attempts, again=False)

    async def _ask(
        self, link: SdkClient, namespace: Namespace, endpoint: str, argument: Parameter | None
    ) -> Any:
        try:
            async with asyncio.timeout(seconds(self._config.call_timeout_ms)):
                return await getattr(link, namespace).remote_call(endpoint, argument)
        except TimeoutError as exc:
            raise UpstreamSilent(f"LM Studio didn't answer to {endpoint}. It may be frozen.") from exc
        except sdk.SdkError as exc:
            raise sdk.translate(exc) from exc


@asynccontextmanager
async def _cancelling(channel: Any, cancelled: asyncio.Event) -> AsyncIterator[None]:
    """Send LM Studio the channel's own cancel message if the event is set meanwhile."""

    async def cancel() -> None:
        await cancelled.wait()
        with suppress(sdk.SdkError):  # whoever waits for the load learns of a dead link
            await channel.cancel()

    waiting = asyncio.create_task(cancel())
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
