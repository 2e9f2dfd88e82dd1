"""A request's run: from its arrival in the line until LM Studio is done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from ..boxes.http.response import UpstreamResponse
from ..errors import GatewayError, UpstreamBroke, UpstreamSilent
from ..observe.exchange import Exchange
from .slots import Lease
from .tickets import Ticket


class Owner(Protocol):
    """The scheduler, as a run sees it."""

    def begin(self, run: Run, ticket: Ticket) -> Lease | None: ...
    def give_up(self, run: Run, ticket: Ticket) -> None: ...
    def finish(self, lease: Lease, *, failed: Callable[[], bool] | None = None) -> None: ...
    def doubt(self, lease: Lease) -> None: ...
    def linger(self, lease: Lease) -> None: ...
    def learn(self, lease: Lease, exchange: Exchange) -> None: ...


class Run:
    """One request's place in the line, and its lease. Leaving the block ends both, whatever happened."""

    __slots__ = ("_began", "_earlier", "_exchange", "_owner", "_ticket", "_turn", "failure", "lease")

    def __init__(self, owner: Owner, exchange: Exchange) -> None:
        self._owner = owner
        self._exchange = exchange
        self._ticket: Ticket | None = None
        self._turn: asyncio.Future[None] | None = None
        self._began = 0.0
        # Of the slots that it has given back: what it spent there, in seconds.
        self._earlier = 0.0
        self.lease: Lease | None = None
        # Why it may not run, if that is known before it waits.
        self.failure: GatewayError | None = None

    def __enter__(self) -> Self:
        return self

    def begin(self, ticket: Ticket) -> bool:
        """Join the line; return whether the request may run now. Otherwise it must `wait`.

        Raises as Scheduler.begin.
        """
        self._turn, self._began = None, 0.0
        lease = self.lease = self._owner.begin(self, ticket)
        if lease is not None:
            return True
        self._ticket = ticket
        return False

    async def begin_again(self, *, elsewhere: bool = False) -> None:
        """Give the slot back, and return when it may run on one that LM Studio lists then.

        LM Studio hasn't begun the request. `elsewhere`: it must run on another box than those that it had.
        Raises as `begin` and `wait`.
        """
        if (lease := self.lease) is None:
            return
        lease.is_used, self.lease = False, None
        self._owner.doubt(lease)
        self._owner.finish(lease)
        self._earlier += lease.gpu_seconds
        ticket = lease.ticket.passing(lease.instance.id.box) if elsewhere else lease.ticket
        if not self.begin(ticket):
            await self.wait()

    async def wait(self) -> None:
        """Return when it may run.

        Raises WaitExpired, GatewayEnding, and ModelBlocked, LoadFailed, ModelNotFound, LoadCancelled and
        UpstreamUnavailable if its model can't be loaded.
        """
        self._began = monotonic()
        self._turn = asyncio.get_running_loop().create_future()
        try:
            await self._turn
        finally:
            self._exchange.waited(self.waited)

    @property
    def waited(self) -> float:
        """How many seconds it has waited until now."""
        return monotonic() - self._began if self._began else 0.0

    def may_run(self, lease: Lease) -> None:
        """Let it run: it has this lease."""
        self.lease = lease
        # It is done already if the client has left meanwhile. Leaving the block then ends the lease.
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)

    def fail(self, error: GatewayError) -> None:
        """End its wait with this error."""
        if self._turn is None:
            self.failure = error
        elif not self._turn.done():
            self._turn.set_exception(error)

    def ends_with(self, response: UpstreamResponse, failed: Callable[[], bool]) -> None:
        """End the lease when LM Studio has sent all of its response, however slowly the client reads it.

        `failed` is called then, if requests wait: its model may be in memory no more if it returns True.
        """
        if (lease := self.lease) is not None:
            response.on_end(partial(self._owner.finish, lease, failed=failed))

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (lease := self.lease) is None:
            if self._ticket is not None:
                self._owner.give_up(self, self._ticket)
            return
        if lease.phase != "ended":
            lease.is_used = self._exchange.sent is not None
            if isinstance(exc, UpstreamBroke):
                self._owner.doubt(lease)
            if self._is_in_prompt(exc):
                self._owner.linger(lease)
                lease.recorded_seconds = lease.gpu_seconds
            else:
                self._owner.finish(lease, failed=partial(isinstance, exc, GatewayError))
        self._exchange.spent(self._earlier + lease.gpu_seconds)
        if self._exchange.stream or lease.instance.context is not None:
            self._owner.learn(lease, self._exchange)

    def _is_in_prompt(self, exc: BaseException | None) -> bool:
        """True if LM Studio may go on with the prompt: it only stops when it has a token to send."""
        # Any other error says that LM Studio has answered, or that the connection to it is gone.
        is_done = exc is None or (isinstance(exc, GatewayError) and not isinstance(exc, UpstreamSilent))
        return not is_done and self._exchange.sent is not None and self._exchange.first_token is None
