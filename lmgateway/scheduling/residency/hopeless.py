"""The wants that can't be fulfilled now: their requests are refused instead of waiting in vain."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from ...errors import GatewayError, UpstreamUnavailable
from ..tickets import Wanted
from . import refusals
from .failures import Failures
from .loading import Loads
from .room import Room
from .rounds import Round
from .wants import Want, target_of

# How long a request waits for the link to LM Studio's SDK.
LINK_SECONDS = 30.0
# How long after a failed call to LM Studio the next one is made.
RETRY_SECONDS = 2.0


class Hopeless:
    """The owner of the failures, and of what is known of the link to LM Studio's SDK."""

    def __init__(self, current: Round) -> None:
        self._round = current
        self._ended: list[tuple[Wanted, GatewayError]] = []
        self.start_over()

    def start_over(self) -> None:
        """Forget what is known of LM Studio."""
        self.failures = Failures()
        self.retry_at = -inf
        # When the link was lost, and what its failure said.
        self._lost: tuple[float, str] | None = None

    @property
    def has_link(self) -> bool:
        """False if the last call couldn't be made."""
        return self._lost is None

    def link_works(self) -> None:
        self._lost = None

    def link_may_work(self) -> None:
        """Take in that LM Studio answers again: from now on requests wait for the link."""
        self._lost, self.retry_at = None, -inf

    def link_failed(self, words: str) -> None:
        self._lost = self._lost or (self._round.now, words)
        self.pause()

    def call_failed(self, error: GatewayError | None) -> None:
        if isinstance(error, UpstreamUnavailable):
            self.link_failed(error.message)
        self.pause()

    def pause(self) -> None:
        """Make no other call for a moment."""
        self.retry_at = self._round.now + RETRY_SECONDS

    def is_pausing(self) -> bool:
        """True if LM Studio isn't called for a moment."""
        if self._round.now >= self.retry_at:
            return False
        self._round.look_again(self.retry_at)
        return True

    def end(self, target: Wanted, error: GatewayError) -> None:
        """Have the requests refused that wait for this model now, but not later ones."""
        self._ended.append((target, error))

    def refuse(self, wants: Sequence[Want], room: Room, loads: Loads) -> bool:
        """Refuse requests of these that wait in vain; return whether there were any."""
        before = len(self._round.line.waiting)
        ended, self._ended = self._ended, []
        absent = {want.target for want in wants}
        for target, error in ended:
            if target in absent:  # it may be in memory by now: somebody else has loaded it
                self._round.refuse(target, error)
        for want in wants:
            self._refuse_hopeless(want, room, loads)
        return len(self._round.line.waiting) < before

    def _refuse_hopeless(self, want: Want, room: Room, loads: Loads) -> None:
        model, now = want.target.model, self._round.now
        if (failure := self.failures.of(model, now)) is not None:
            self._round.refuse(want.target, failure.error)
        elif not room.is_pinned(model) and room.for_requests(want.kind) <= 0:
            error = refusals.blocked_by_pins(model, room.pins(want.kind), room.most)
            self._round.refuse(want.target, error)
        elif self._lost is not None and not loads:  # a load in progress will tell whether the link is back
            self._refuse_oldest(want.target, *self._lost)

    def _refuse_oldest(self, target: Wanted, since: float, words: str) -> None:
        """Refuse those that have waited for the link as long as they may."""
        for waiter in tuple(self._round.line.waiting):
            if target_of(waiter.ticket) != target:
                continue
            until = max(since, waiter.since) + LINK_SECONDS
            if until <= self._round.now:
                self._round.refuse_one(waiter.ticket, refusals.no_link(target.model, words))
            else:
                self._round.look_again(until)
