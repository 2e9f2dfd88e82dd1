"""One LM Studio, as one configuration describes it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from multidict import CIMultiDict

from .. import background
from ..config import Config, LMStudio
from ..errors import GatewayError, UpstreamBroke, UpstreamUnavailable
from ..schema.health import Reachability
from .attendance import GREETING_SECONDS
from .connections import Connections
from .http.client import HttpClient, Outgoing
from .http.response import UpstreamResponse
from .knowledge import Knowledge
from .listing import Listing, context_in
from .manageability import GREETING_PATH
from .sdk.calls import SdkCalls
from .second_looks import SecondLooks

PROBE_SECONDS = 2
# For the context of an instance.
LIST_SECONDS = 1
LIST_BYTES = 4 * 1024**2
# For the SDK's list of models on disk, with connecting.
DISK_SECONDS = 5


class Box:
    """An LM Studio's address, token and health, and the ways to ask it. They never change.

    A request uses one box for all of its life. A reload makes a new one, so that nothing of the request goes
    to the new address, and neither token to the other's. The connections outlive the box.
    """

    def __init__(
        self, name: str, config: LMStudio, connections: Connections, known: Knowledge | None = None
    ) -> None:
        """`known` is what is known of the LM Studio at this address, None if it is new."""
        self.name = name
        self.config = config
        self.known = known or Knowledge(config)
        self.health, self.catalogue = self.known.health, self.known.catalogue
        self.refusals, self._manageability = self.known.refusals, self.known.manageability
        self.http = HttpClient(config, connections.pool, self.health)
        self.sdk = SdkCalls(config, connections.links, self.catalogue)
        self.loads = connections.loads
        self._connections = connections
        self._probe: asyncio.Task[Reachability] | None = None
        self._greeting: asyncio.Task[bool | None] | None = None
        self._second_looks = SecondLooks(self._list_again, connections.probes)
        self._thorough_looks = SecondLooks(self._list_everything, connections.probes)

    def reconfigured(self, config: LMStudio) -> Box:
        """Return the box with this configuration. It isn't in force before its connections prefer it."""
        if config == self.config:
            return self
        # What is known of another address says nothing about this one.
        if config.base_url != self.config.base_url:
            return Box(self.name, config, self._connections)
        return Box(self.name, config, self._connections, self.known)

    # ── Presence ───────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_up(self) -> bool:
        """True if requests may go to it. The only box always is, unless its machine may sleep."""
        return self.known.attendance is None or self.known.attendance.is_up

    @property
    def is_watched(self) -> bool:
        """True if it is greeted, so that it is known whether it is up."""
        return self.known.attendance is not None

    @property
    def is_left_alone(self) -> bool:
        """True if nothing may be sent to it without need, so that its machine can sleep."""
        return self.known.attendance is not None and self.known.attendance.is_left_alone

    @property
    def may_sleep(self) -> bool:
        """True if its machine can be woken up."""
        return bool(self.config.wake_mac)

    @property
    def is_waking(self) -> bool:
        return self.known.attendance is not None and self.known.attendance.state == "waking"

    def used(self) -> None:
        """Take in that a request or an operation needs it."""
        if self.known.attendance is not None:
            self.known.attendance.used()

    async def send(self, outgoing: Outgoing, *, silence: float | None) -> UpstreamResponse:
        """Send a client's request, as HttpClient.send. It fails, too, if the box goes down meanwhile.

        Raises as HttpClient.send.
        """
        attendance = self.known.attendance
        if attendance is None:
            return await self.http.send(outgoing, silence=silence)
        attendance.used()
        try:
            return await self.known.awaiting.head(self.http.send(outgoing, silence=silence))
        except (UpstreamUnavailable, UpstreamBroke):
            attendance.refused()
            raise

    def interrupt(self) -> None:
        """End the requests that LM Studio hasn't begun to answer: it is down."""
        self.known.awaiting.interrupt()

    def wake(self, reason: str) -> None:
        """Wake its machine, if it sleeps or may do so."""
        if self.known.attendance is not None:
            self.known.attendance.wake(reason)

    async def greets(self) -> bool | None:
        """Request LM Studio's greeting; return whether it answers, None if nothing does."""
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(GREETING_SECONDS):
                status, body = await self._get(GREETING_PATH)
                self._manageability.greeted(status, body)
                return status < 500  # else it is a proxy's error
        return None

    # ── Models ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_unmanageable(self) -> bool:
        """True if the gateway can't load and unload its models.

        It isn't LM Studio, or its SDK can't be reached, or it refuses the gateway because only the clients
        have a token for it. False until it is known, which it is after the first `list_models`.
        """
        return self._manageability.obstacle is not None or self.catalogue.is_refused

    def has_residency(self, config: Config) -> bool:
        """True if the gateway decides which models it has in memory."""
        return config.keeps_models and not self.is_unmanageable

    async def list_models(self) -> Listing:
        """Request the models over HTTP, and return them. Raises UpstreamUnavailable.

        The first call also requests the greeting, as does the first one after an outage.
        """
        if self._manageability.needs_greeting:
            await self._greet()
        self._manageability.log()
        await self.catalogue.refresh(self._get, self._connections.probes)
        return self.catalogue.listing

    async def fresh_models(self) -> Listing:
        """Return the models, as LM Studio listed them in the last 5 s. Raises as `list_models`."""
        return self.catalogue.listing if self.catalogue.is_fresh else await self.list_models()

    async def look_again(self, *, on_disk: bool = True) -> None:
        """Request the lists of models, for a name that isn't in the last ones (see SecondLooks).

        `on_disk`: also the SDK's list, because only that has the models on disk if LM Studio's just-in-time
        loading is off; without the SDK its last list is kept. Raises as `list_models`.
        """
        await (self._thorough_looks if on_disk else self._second_looks).look()

    async def _list_again(self) -> None:
        await self.list_models()

    async def _list_everything(self) -> None:
        await self.list_models()
        if self.sdk.origin.sdk_host is not None and not self.is_unmanageable:
            with suppress(TimeoutError, GatewayError):
                async with asyncio.timeout(DISK_SECONDS):
                    await self.sdk.downloaded(attempts=1)

    async def _greet(self) -> None:
        """Request LM Studio's greeting (single-flight)."""
        if self._greeting is None or self._greeting.done():
            self._greeting = self._connections.probes.start(self.greets())
        await background.join(self._greeting)

    async def context_length(self, model: str | None) -> int | None:
        """Return the context of the instance that answers to this name, in tokens, None if it is unknown.

        LM Studio is asked over HTTP. Without a name, it is that of the only instance in memory.
        """
        with suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(LIST_SECONDS):
                return context_in((await self._get("/api/v0/models"))[1], model)
        return None

    async def get(self, path: str) -> bytes:
        """Return the body of the answer, b"" if it is an error or too long. Raises as HttpClient.send."""
        return (await self._get(path))[1]

    async def _get(self, path: str) -> tuple[int, bytes]:
        """Return the response's status and its body, b"" if it is an error or too long.

        Raises as HttpClient.send.
        """
        answer = await self.http.send(self.http.address("GET", path, CIMultiDict()), silence=None)
        body = bytearray()
        try:
            while answer.status == 200 and (piece := await answer.read()):
                body += piece
                if len(body) > LIST_BYTES:
                    return 200, b""
        finally:
            answer.close()
        return answer.status, bytes(body)

    async def probe(self) -> Reachability:
        """Request LM Studio's models, and return whether it answered and how fast.

        Concurrent calls share one request (single-flight): anybody may ask, without a key and without end. A
        box that is left alone isn't asked: the result is what was known last.
        """
        if self.is_left_alone:
            return self._last_known()
        if self._probe is None or self._probe.done():
            self._probe = self._connections.probes.start(self._request_models())
        return await background.join(self._probe)

    def _last_known(self) -> Reachability:
        attendance, base_url = self.known.attendance, str(self.http.base_url)
        latency_ms = None if attendance is None else attendance.latency_ms
        return Reachability(reachable=self.is_up, latency_ms=latency_ms, base_url=base_url)

    async def _request_models(self) -> Reachability:
        base_url, started, self.known.probe_ms = self.http.base_url, time.monotonic(), None
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
        latency_ms = self.known.probe_ms = round((time.monotonic() - started) * 1000)
        return Reachability(reachable=answer.status < 500, latency_ms=latency_ms, base_url=str(base_url))
