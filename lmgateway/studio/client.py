"""The one connection to LM Studio's SDK: made when first needed, shared, replaced when it died."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import lmstudio
from yarl import URL

from ..config import LMStudio
from ..errors import GatewayError, LinkLost, UpstreamSilent, UpstreamUnavailable
from . import sdk
from .sdk import Parameter, SdkClient

logger = logging.getLogger(__name__)

Namespace = Literal["llm", "embedding", "system"]

CONNECT_SECONDS = 5
_REFUSED = "LM Studio refused the gateway. If it asks for an API token, set lmstudio.api_token to one of its."
_UNREACHABLE = (
    "LM Studio's SDK can't be reached. Check that LM Studio runs, that its server is started, and that "
    "lmstudio.base_url is its address."
)
_NOT_PLAIN = (
    "Models can only be managed where lmstudio.base_url is plain http and has no path; the SDK knows no more."
)
# A dead link takes the SDK up to 20 s to let go of; nobody waits for that but the end of the process.
CLOSE_SECONDS = 2


class StudioClient:
    """Calls LM Studio, each call under a timeout.

    The SDK never reconnects, so a client whose link died is thrown away and the next call makes a new one.
    Callers that come while it is being made wait for the same one.
    """

    def __init__(self, config: LMStudio) -> None:
        self._config = config
        self._link: SdkClient | None = None
        self._connecting: asyncio.Task[SdkClient] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._replaced: list[SdkClient] = []

    def reconfigure(self, config: LMStudio) -> None:
        """Make the next call by this configuration. Calls in progress go on as they began."""
        moved = (config.base_url, config.api_token) != (self._config.base_url, self._config.api_token)
        self._config = config
        if moved and self._connecting is not None:
            self._connecting.cancel()
        if moved and self._link is not None:
            self._replaced.append(self._link)
            self._link = None

    async def close(self) -> None:
        """Let go of the connection, soon."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        for link in filter(None, (self._link, *self._replaced)):
            self._close_soon(link)
        if self._closing:
            _, stuck = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    async def read(
        self,
        namespace: Namespace,
        endpoint: str,
        parameter: Mapping[str, object] | None = None,
        *,
        attempts: int | None = None,
    ) -> Any:
        """Call something that changes nothing: if the link turns out to be dead, once more on a new one.

        `attempts` is how often to try to connect, if that has to be done; as configured if not given.
        """
        try:
            return await self.call(namespace, endpoint, parameter, attempts=attempts)
        except LinkLost:
            return await self.call(namespace, endpoint, parameter, attempts=attempts)

    async def call(
        self,
        namespace: Namespace,
        endpoint: str,
        parameter: Mapping[str, object] | None = None,
        *,
        attempts: int | None = None,
    ) -> Any:
        """Return what LM Studio answers to a remote call, as plain data.

        Raises UpstreamUnavailable (LinkLost in the middle of it), UpstreamSilent, and as sdk.translate.
        """
        client = await self._client(attempts)
        argument = None if parameter is None else Parameter(parameter)
        try:
            async with asyncio.timeout(_seconds(self._config.call_timeout_ms)):
                return await getattr(client, namespace).remote_call(endpoint, argument)
        except TimeoutError as exc:
            self._discard(client)
            raise UpstreamSilent(f"LM Studio didn't answer to {endpoint}. It may be frozen.") from exc
        except lmstudio.LMStudioError as exc:
            raise self._failed(client, exc) from exc

    async def load(
        self,
        namespace: Literal["llm", "embedding"],
        model_key: str,
        identifier: str | None,
        ttl_seconds: int | None,
        config: Mapping[str, object],
        *,
        on_progress: Callable[[float], None],
        cancelled: asyncio.Event,
    ) -> str:
        """Load a model and return the identifier that LM Studio gave it; `cancelled` takes the load back.

        `on_progress` is called with 0 to 1. Raises like `call`; a load that was taken back ends as LM Studio
        ends it, mostly as StudioFailed.
        """
        client = await self._client()
        session = getattr(client, namespace)
        loop, patience = asyncio.get_running_loop(), _seconds(self._config.load_timeout_ms)
        try:
            async with asyncio.timeout(patience) as deadline:

                def progressed(fraction: float) -> None:
                    if patience is not None:
                        deadline.reschedule(loop.time() + patience)
                    on_progress(fraction)

                endpoint = sdk.load_endpoint(session, model_key, identifier, ttl_seconds, config, progressed)
                async with session._create_channel(endpoint) as channel, _cancelling(channel, cancelled):
                    result = await channel.wait_for_result()
                    return str(result.identifier)
        except TimeoutError as exc:
            self._discard(client)
            raise UpstreamSilent("The load made no progress. LM Studio may be frozen.") from exc
        except lmstudio.LMStudioError as exc:
            raise self._failed(client, exc) from exc

    def _failed(self, client: SdkClient, exc: lmstudio.LMStudioError) -> GatewayError:
        error = sdk.translate(exc)
        if isinstance(error, LinkLost):
            self._discard(client)
        return error

    async def _client(self, attempts: int | None = None) -> SdkClient:
        if self._link is not None:
            return self._link
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(attempts or self._config.connect_attempts))
        connecting = self._connecting
        try:
            # Whoever stops waiting must not take the connection from the others.
            return await asyncio.shield(connecting)
        except asyncio.CancelledError as exc:
            if not connecting.cancelled():
                raise
            raise UpstreamUnavailable("LM Studio's address was changed meanwhile. Try again.") from exc

    async def _connect(self, attempts: int) -> SdkClient:
        try:
            for _ in range(attempts - 1):
                try:
                    self._link = await self._try_to_connect()
                except UpstreamUnavailable as exc:
                    logger.info("%s", exc.message)
                    await asyncio.sleep(self._config.connect_pause_ms / 1000)
                else:
                    return self._link
            self._link = await self._try_to_connect()
            return self._link
        finally:
            self._connecting = None

    async def _try_to_connect(self) -> SdkClient:
        client = SdkClient(_host(self._config.base_url), self._config.api_token)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await client.__aenter__()
        except BaseException as exc:
            # Even a client that never connected holds tasks and sockets.
            self._close_soon(client)
            if isinstance(exc, sdk.CONNECT_ERRORS):
                raise UpstreamUnavailable(_REFUSED if sdk.is_refusal(exc) else _UNREACHABLE) from exc
            raise
        logger.info("connected to LM Studio's SDK")
        return client

    def _discard(self, client: SdkClient) -> None:
        if self._link is client:
            logger.warning("the connection to LM Studio's SDK is gone; the next call makes a new one")
            self._link = None
        elif client in self._replaced:
            self._replaced.remove(client)
        else:
            return
        self._close_soon(client)

    def _close_soon(self, client: SdkClient) -> None:
        task = asyncio.create_task(_close(client))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close(client: SdkClient) -> None:
    try:
        await client.aclose()
    except sdk.CONNECT_ERRORS as exc:
        logger.debug("closing a dead link: %r", exc)


@asynccontextmanager
async def _cancelling(channel: Any, cancelled: asyncio.Event) -> AsyncIterator[None]:
    """Send LM Studio the channel's own cancel message if the event is set meanwhile."""

    async def cancel() -> None:
        await cancelled.wait()
        with suppress(lmstudio.LMStudioError):  # whoever waits for the load learns of a dead link
            await channel.cancel()

    waiting = asyncio.create_task(cancel())
    try:
        yield
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def _host(base_url: URL) -> str:
    """Return host:port as the SDK takes it. Raises UpstreamUnavailable for what it can't express."""
    if base_url.scheme != "http" or base_url.raw_path not in {"", "/"}:
        raise UpstreamUnavailable(_NOT_PLAIN)
    return base_url.raw_authority


def _seconds(milliseconds: int) -> float | None:
    return milliseconds / 1000 if milliseconds else None
