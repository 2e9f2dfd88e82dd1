"""Which models are in memory: what is to be loaded and unloaded now.

Every method takes the time, in seconds of a monotonic clock. Nothing here waits or does I/O: `decide` returns
what is to be done, and is told what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...schema.common import ModelType
from ...schema.queue import Origin
from ..line import Line
from ..slots import Instance
from ..tickets import Wanted
from .effects import Load, Loaded, LoadFailure, LoadOutcome, Unloaded
from .failed_loads import FailedLoads
from .hopeless import Hopeless
from .leaving import Leaving
from .loading import Loading, Loads
from .prospects import Prospects
from .room import Room
from .rounds import Decision, Round
from .shortage import Shortage
from .swaps import Swap, Swaps
from .terms import ResidencyTerms
from .upkeep import Upkeep
from .wants import Want, find_absent, find_wants


class Residency:
    """The owner of what is loaded and unloaded on one box, and of its instances' origins.

    `concerns` as for find_wants. While `is_left_alone`, nothing is done that no request waits for.
    """

    def __init__(self, box: str, line: Line, terms: ResidencyTerms) -> None:
        self.terms = terms
        self.box = box
        self._line = line
        self._round = Round(line)
        self._leaving = Leaving(self._round)
        self._loads = Loads(self._round, box)
        self._swaps = Swaps(self._round, self._leaving, self._loads)
        self._room, self._hopeless = Room(line, box, terms), Hopeless(self._round)
        self.concerns: Callable[[Wanted], bool] = lambda target: target.box == box
        self.is_left_alone: Callable[[], bool] = lambda: False
        self.shortage = Shortage(self._round, self._room, self._hopeless)
        self._upkeep = Upkeep(self._round, self._room, self._leaving, self._hopeless, self.shortage)
        self.prospects = Prospects(self._room, self._loads, self._swaps, self._hopeless, self.shortage)
        self._failed = FailedLoads(self._round, self._hopeless, self.shortage, self._upkeep)
        # What was in memory at the last decision, and whether the gateway might have unloaded it.
        self._seen: dict[Instance, bool] = {}

    # ── Reports ────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def loads(self) -> Sequence[Loading]:
        return list(self._loads)

    @property
    def swaps(self) -> Sequence[Swap]:
        return self._swaps.current

    @property
    def load_seconds(self) -> dict[str, float]:
        """How long the last load of each model took."""
        return self._loads.seconds

    @property
    def drains(self) -> bool:
        """True while an instance is to be unloaded when nothing runs on it any more."""
        return len(self._leaving) > 0

    @property
    def is_attentive(self) -> bool:
        """True while something is to be done as soon as a request ends."""
        return self.drains or bool(self._upkeep)

    def spare(self, passing: frozenset[str]) -> list[Instance]:
        """Return the instances that may go at once for a load that finds no memory; `passing` as for Room."""
        return self._room.spare(passing)

    # ── Events ─────────────────────────────────────────────────────────────────────────────────────────────

    def change_terms(self, terms: ResidencyTerms) -> None:
        self.terms = self._room.terms = terms

    def start_over(self, now: float) -> None:
        """Take in that the box has another address: its loads and failures are none here.

        `load_ended` doesn't follow for these loads.
        """
        for loading in self.loads:
            self.load_ended(loading.load, LoadFailure("refused", "LM Studio's address has changed."), now)
        self._hopeless.start_over()
        self.shortage.start_over()

    def came_up(self) -> None:
        """Have the pinned models loaded: LM Studio was started, or answers again."""
        self._hopeless.link_may_work()
        self._upkeep.came_up()

    def begin_load(self, target: Wanted, kind: ModelType, origin: Origin, now: float) -> Load:
        """Record a load that somebody asks for; `load_ended` follows."""
        self._round.now = now
        return self._loads.begin(target, kind, origin)

    def adopt(self, identifier: str, load_seconds: float, now: float) -> None:
        """Take in an instance that somebody has loaded through the gateway beside another of its model."""
        self._round.now = now
        self._loads.adopt(identifier, load_seconds)

    def keep(self, instance: Instance, now: float) -> None:
        """Have an instance stay that is the result of somebody's load, also if it drains."""
        self._round.now = now
        if instance.origin == "on-demand":
            instance.origin = "loaded"
        if instance.state == "draining":
            self._swaps.keep(instance)

    def claim(self, target: Wanted) -> None:
        """Have the instance of a load in progress, if there is one, stay until somebody unloads it."""
        self._loads.claim(target)

    def ask_to_unload(self, instance: Instance, *, force: bool = False) -> None:
        """Have an instance unloaded when nothing runs on it any more, or at once."""
        self._leaving.ask(instance, force=force)

    def take_back(self, instance: Instance, now: float) -> None:
        """Have an instance not unloaded for those who asked for it."""
        self._round.now = now
        was_asked = self._leaving.withdraw(instance)
        if was_asked and instance.state == "draining" and self._swaps.of(instance) is None:
            self._leaving.open(instance)

    def load_ended(self, load: Load, outcome: LoadOutcome, now: float) -> None:
        """Take in what came of a load."""
        self._round.now = now
        loading, swap = self._loads.end(load), self._swaps.of_kind(load.kind)
        if isinstance(outcome, Loaded):
            self.shortage.ended(load.target)
            self._hopeless.failures.succeeded(load.target.model)
            self._hopeless.link_works()
            self._loads.place(loading, outcome)
        else:
            self._failed.add(load.target, outcome)
        is_swapped_in = swap is not None and swap.to == load.target and not swap.leaving
        if swap is not None and is_swapped_in and not self._is_tried_again(load.target):
            self._swaps.end(swap, "completed" if isinstance(outcome, Loaded) else "failed")

    def _is_tried_again(self, target: Wanted) -> bool:
        return target in self.shortage or self._hopeless.is_pausing()

    def unload_ended(self, instance: Instance, unloaded: Unloaded, now: float) -> None:
        """Take in what came of an unload."""
        self._round.now = now
        if unloaded.outcome == "gone":
            self._hopeless.link_works()
            self.shortage.unloaded()
            if instance.is_listed:
                self._round.let_in(self._line.remove(instance, now))
            return  # the next decision goes on with its swap
        if not instance.is_listed:
            return
        swap = self._swaps.of(instance)
        if unloaded.outcome == "failed":
            self._hopeless.call_failed(unloaded.error)
            self._leaving.withdraw(instance)
        elif unloaded.outcome == "kept":
            instance.origin = "outside"
        elif swap is not None or self._leaving.is_asked(instance):
            self._line.accounts.set_outside(instance, unloaded.counted, now)
            if self._leaving.is_kept_draining(instance):
                return
        else:
            instance.idle_since = now
        self._leaving.open(instance)
        if swap is not None:
            self._swaps.leave_out(swap, instance)

    # ── Decisions ──────────────────────────────────────────────────────────────────────────────────────────

    def decide(self, now: float) -> Decision:
        """Return what is to be done now. It is called after each event of the line, too."""
        self._round.begin(now)
        self._notice_who_left()
        wants = self._wants()
        if self._hopeless.refuse(wants, self._room, self._loads):
            wants = self._wants()  # another one may be the next in turn
        loading = (one.load.target for one in self._loads)
        absent = find_absent(self._line, self.box, self._is_there) if self.terms.enabled else ()
        self.shortage.keep([*absent, *loading, *self._upkeep.targets])
        if self._swaps.settle(wants, self._room):
            wants = self._wants()
        for want in sorted(wants, key=lambda one: not self._swaps.is_for(one.target)):
            self._serve(want)
        if self.terms.enabled and not self.is_left_alone():
            if not (self._loads or self._swaps.current) and (pin := self._upkeep.next_pin()) is not None:
                self._load(*pin)
            self._upkeep.unload_idle()
        self._leaving.unload_asked(self._room)
        self._loads.share_costs()
        return self._round.end()

    def due(self) -> float | None:
        """Return when `decide` is needed next, None if no time is."""
        return self._round.due

    def _notice_who_left(self) -> None:
        """Take in what is in memory no more, whoever unloaded it."""
        before, self._seen = self._seen, {one: self._room.may_leave(one) for one in self._room.instances()}
        gone = [one for one in before if one not in self._seen]
        if not all(map(before.__getitem__, gone)):
            self._hopeless.failures.memory_is_freed()
        self._swaps.gone(gone)
        for instance in gone:
            self._leaving.gone(instance)

    def _serve(self, want: Want) -> None:
        """Do the next thing that brings a model into memory."""
        swap = self._swaps.of_kind(want.kind)
        if self._hopeless.is_pausing() or self._loads.of_kind(want.kind):
            return  # one at a time
        if swap is not None and (swap.to != want.target or swap.leaving):
            return
        if want.target in self.shortage:
            if leaving := self._room.for_memory():
                victims = [one for one in leaving if one.state == "resident"]
                self._swaps.begin(want, victims, self._room, self.terms)
                return
        elif not self._room.has_room(want.target.model, want.kind):
            if (victim := self._room.victim(want.kind)) is not None:
                self._swaps.begin(want, [victim], self._room, self.terms)
            return
        self._load(want.target, want.kind)

    def _wants(self) -> list[Want]:
        if not self.terms.enabled:
            return []
        return find_wants(self._line, self._round.now, self.concerns, self._is_there)

    def _is_there(self, target: Wanted) -> bool:
        """True if a model is in memory, or is being loaded."""
        return self._room.has(target) or self._loads.answers(target)

    def _load(self, target: Wanted, kind: ModelType) -> None:
        origin: Origin = "loaded" if self._room.is_pinned(target.model) else "on-demand"
        self._round.do(self._loads.begin(target, kind, origin))
