"""What a failed load means for the requests that wait for its model, and for what is loaded next."""

from __future__ import annotations

from ...errors import GatewayError, LoadCancelled
from ..tickets import Wanted
from . import refusals
from .effects import LoadFailure
from .hopeless import Hopeless
from .rounds import Round
from .shortage import Shortage
from .upkeep import Upkeep
from .wants import has_name


class FailedLoads:
    """Gives each failure to the part that it concerns."""

    def __init__(self, current: Round, hopeless: Hopeless, shortage: Shortage, upkeep: Upkeep) -> None:
        self._round = current
        self._hopeless = hopeless
        self._shortage = shortage
        self._upkeep = upkeep

    def add(self, target: Wanted, failure: LoadFailure) -> None:
        """Take in why a load has failed."""
        model, words = target.model, failure.words
        match failure.reason:
            case "no_link":
                self._hopeless.link_failed(words)
                # They wait for something else now.
                self._round.let_in(self._round.line.dispatch(self._round.now))
            case "missing":
                self._end(target, refusals.missing(model, words), may_be_elsewhere=not target.box)
            case "cancelled":
                self._end(target, LoadCancelled(words), may_be_elsewhere=self._is_a_copy(target))
            case "refused":
                pass  # if requests wait for the model, it is loaded for them
            case "no_memory":
                self._hopeless.link_works()
                self._shortage.found(target, failure)
            case "other":
                self._hopeless.link_works()
                error = refusals.load_failed(model, words)
                self._hopeless.failures.add(model, error, self._round.now, of_memory=False)

    def _end(self, target: Wanted, error: GatewayError, *, may_be_elsewhere: bool) -> None:
        if may_be_elsewhere:  # its requests are refused only if no other box can run them
            self._hopeless.failures.add(target.model, error, self._round.now, of_memory=False)
        else:
            self._hopeless.end(target, error)
        self._upkeep.give_up(target.model)  # it would be tried again and again

    def _is_a_copy(self, target: Wanted) -> bool:
        """True if another box has the model in memory, for the same requests."""
        if target.box:
            return False
        everything = self._round.line.machines.instances.values()
        return any(one.is_listed and has_name(one, target) for one in everything)
