"""One LM Studio: its HTTP and SDK connections, its health, its loads in progress and its log."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from multidict import CIMultiDict

from ..config import LMStudio
from ..errors import GatewayError, UpstreamUnavailable
from ..observe.activity import Activity
from ..schema.health import Reachability
from .health import Health
from .http.client import HttpClient
from .loads import Loads
from .log.monitor import LogMonitor
from .sdk.calls import SdkCalls

PROBE_SECONDS = 2


class Box:
    """The owner of the gateway's connections to one LM Studio. A context manager: enter it before use."""

    def __init__(self, name: str, config: LMStudio, activity: Activity) -> None:
        self.name = name
        self.health = Health()
        self.http = HttpClient(config, self.health)
        self.sdk = SdkCalls(config)
        self.loads = Loads(self.sdk, activity)
        self._log = LogMonitor(config, activity.events, activity.prompt_progressed)
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as starting:
            await starting.enter_async_context(self.http)
            starting.push_async_callback(self.sdk.close)
            starting.push_async_callback(self.loads.close)
            await starting.enter_async_context(self._log)
            self._resources = starting.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def reconfigure(self, config: LMStudio) -> None:
        """Use this configuration for new requests. Running ones aren't affected."""
        self.http.reconfigure(config)
        self.sdk.reconfigure(config)
        await self._log.reconfigure(config)

    async def probe(self) -> Reachability:
        """Request LM Studio's models, and return whether it answered and how fast."""
        base_url, started = self.http.base_url, time.monotonic()
        unreachable = Reachability(reachable=False, latency_ms=None, base_url=str(base_url))
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                answer = await self.http.send(
                    self.http.address("GET", "/v1/models", CIMultiDict()), silence=None
                )
        except TimeoutError:
            self.health.record(UpstreamUnavailable(f"nothing within {PROBE_SECONDS} s"), base_url)
            return unreachable
        except GatewayError:
            return unreachable
        answer.close()
        latency_ms = round((time.monotonic() - started) * 1000)
        return Reachability(reachable=answer.status < 500, latency_ms=latency_ms, base_url=str(base_url))
