"""The context of an HTTP request, whether or not it is an exchange with LM Studio."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web
from msgspec import Struct, field

from ..access.callers import ANYONE, Caller
from ..aiohttp_private.server_protocol import protocol_of
from ..errors import GatewayError, Unauthorized
from ..observe.access_log import AccessLine
from ..observe.clock import unix_time
from ..observe.exchange import CLIENT_LEFT, Cancellation, Exchange
from ..traffic.plan import RelayOptions
from .downstream import Downstream
from .operations.areas import Area
from .owners import Owners
from .ruleset import RequestHead, Ruleset


class RequestContext(Struct, eq=False, kw_only=True):
    """The state of a request, which the middlewares fill in.

    `rules` are those in force when it began. `client` is the address behind trusted proxies once it is known,
    `caller` the authenticated caller. `end`, which a handler may replace, ends a request whose caller isn't
    admitted any more. `started` is by the monotonic clock, `began` the same moment in Unix seconds.
    """

    owners: Owners
    rules: Ruleset
    head: RequestHead
    area: Area
    request_id: str
    client: str
    method: str
    path: str
    cancellation: Cancellation
    downstream: Downstream
    end: Callable[[GatewayError], None]
    caller: Caller = ANYONE
    error_code: str | None = None
    latest_exchange: Exchange | None = None
    started: float = field(default_factory=time.monotonic)
    began: float = field(default_factory=unix_time)

    def begin_response(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Set the headers that every response has; called just before its head is written."""
        self.downstream.response = response
        head, headers = self.head, response.headers
        if protocol_of(request).is_ending or head.asks_for_another_protocol:
            response.force_close()
            headers["Connection"] = "close"
        headers["X-Request-Id"] = self.request_id
        if (exchange := self.latest_exchange) is not None:
            if exchange.queued_ms:
                headers["X-Queue-Wait-Ms"] = str(exchange.queued_ms)
            if exchange.ignored:
                headers["X-Ignored"] = ", ".join(exchange.ignored)
        if self.caller.is_named:
            headers.update(self.owners.rate_limits.headers(self.caller.name))
        # In addition to LM Studio's own Vary.
        headers.extend(head.cors_fields(proxied=self.area.is_for_pages))

    def keep_alive(self, options: RelayOptions) -> None:
        """From now on keep a stream alive that waits for LM Studio."""
        streams, queue = self.owners.waiting_streams, self.rules.config.queue
        self.downstream.keep_alive(streams, options, queue, since=self.started)

    def exchange(self, *, route: str, generates: bool, runs_model: bool = False) -> Exchange:
        """Return an exchange that begins with this request; cancelling the request cancels it."""
        exchange = self.latest_exchange = Exchange(
            request_id=self.request_id,
            client=self.client,
            method=self.method,
            path=self.path,
            cancellation=self.cancellation,
            key=self.caller.name,
            redact=self.head.redaction.redact,
            route=route,
            generates=generates,
            runs_model=runs_model,
            only_box="" if self.rules.boxes.only is None else self.rules.boxes.only.name,
            started=self.started,
            began=self.began,
        )
        return exchange

    def end_if_revoked(self, rules: Ruleset) -> None:
        """End the request if its caller's key isn't valid by these rules."""
        try:
            rules.callers.check(self.caller)
        except Unauthorized as error:
            self.end(error)

    @property
    def has_exchange(self) -> bool:
        """True if it is an exchange, of which a record is made."""
        return self.latest_exchange is not None and self.latest_exchange.has_begun

    def access_line(self, response: web.StreamResponse | None) -> AccessLine:
        """Return the access line of a request that ends now; `response` is None if its handler raised."""
        sent = self.downstream.response if response is None else response
        seconds, exchange = time.monotonic() - self.started, self.latest_exchange
        return AccessLine(
            box="" if exchange is None or exchange.only_box else exchange.box,
            client=self.client,
            key=self.caller.name,
            method=self.method,
            path=self.path,
            status=CLIENT_LEFT if sent is None else sent.status,
            error_code=self.error_code,
            total_ms=round(seconds * 1000),
            request_id=self.request_id,
            created=self.began + seconds,
        )
