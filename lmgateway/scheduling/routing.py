"""On which box a model is loaded that waiting requests need: the rule, without I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec import Struct, structs

from ..schema.common import ModelType
from .tickets import Wanted


class Offer(Struct, frozen=True, kw_only=True):
    """What a box offers a model that isn't in its memory.

    `is_hopeless`: the model couldn't be loaded there lately, or there is never room for it. `has_room`: it
    can be loaded beside the others. `is_loading`: another model of its type is being brought into memory.
    `has_spare`: one in memory that nobody uses may go for it; from `spare_at` on, in seconds of the monotonic
    clock, also for a second copy. `running` counts the requests that run on the box. `lacks_memory`: a load
    of the model has found none there, so that others must be unloaded first, however few there are.
    """

    box: str
    is_hopeless: bool = False
    has_room: bool = True
    is_loading: bool = False
    has_spare: bool = False
    spare_at: float = 0.0
    running: int = 0
    lacks_memory: bool = False


def best(offers: Iterable[Offer]) -> Offer | None:
    """Return the box that a model is loaded on; of equal ones the first.

    One with room to load beside comes before one that must unload, and of the latter one where nobody uses
    what is unloaded.
    """
    return min(
        offers,
        key=lambda one: (one.is_hopeless, not one.has_room, one.is_loading, not one.has_spare, one.running),
        default=None,
    )


def best_for_copy(offers: Iterable[Offer], now: float) -> Offer | None:
    """Return the box that a second copy is loaded on, of a model whose slots are all taken.

    Nothing that is in use, or was loaded a short while ago, goes for it.
    """
    able = (one for one in offers if _may_get_copy(one))
    return best(one for one in able if one.has_room or (one.has_spare and one.spare_at <= now))


def copy_due(offers: Iterable[Offer], now: float) -> float | None:
    """Return when a box may be free for a second copy, if nothing else changes."""
    dues = (one.spare_at for one in offers if _may_get_copy(one) and one.has_spare and one.spare_at > now)
    return min(dues, default=None)


def _may_get_copy(offer: Offer) -> bool:
    return not (offer.is_hopeless or offer.is_loading or offer.lacks_memory)


class Bookings:
    """The owner of the loads of one decision, which none of the boxes knows of yet."""

    def __init__(self) -> None:
        self.boxes: dict[Wanted, str] = {}
        self._kinds: set[tuple[str, ModelType]] = set()

    def add(self, target: Wanted, box: str, kind: ModelType) -> None:
        self.boxes[target] = box
        self._kinds.add((box, kind))

    def box_of(self, model: str, able: Collection[str]) -> str | None:
        """Return the one of these boxes on which a model is to be loaded for other requests, if any is."""
        return next((box for other, box in self.boxes.items() if other.model == model and box in able), None)

    def lower(self, offer: Offer, kind: ModelType) -> Offer:
        """Return what is left of an offer: a box loads one model of a type at a time."""
        if (offer.box, kind) not in self._kinds:
            return offer
        return structs.replace(offer, has_room=False, is_loading=True)
