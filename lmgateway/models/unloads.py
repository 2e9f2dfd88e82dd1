"""An unload by an admin: on which boxes, and what came of it on each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..boxes.box import Box
from ..boxes.box_set import BoxSet
from ..errors import GatewayError, UpstreamUnavailable
from ..schema.models import InstanceRequest, LoadedModel

_ALL_DOWN = "No LM Studio answers, so nothing can be unloaded. `lmgateway boxes` shows why."


class BoxUnload(NamedTuple):
    """What was unloaded on one box, what remains in its memory, and why some may have failed."""

    box: Box
    unloaded: tuple[LoadedModel, ...]
    remaining: tuple[LoadedModel, ...]
    failures: tuple[BaseException, ...]

    def names(self, *, with_box: bool) -> str:
        """Return the identifiers of the unloaded instances for people."""
        place = f" on {self.box.name}" if with_box else ""
        return ", ".join(f"{instance.identifier}{place}" for instance in self.unloaded)


def boxes_to_unload(request: InstanceRequest, boxes: BoxSet) -> Sequence[Box]:
    """Return the named box, else those that are up.

    An idle box is only asked if it is known to have the model in memory, or if no other box is up. Raises
    BoxNotFound, UpstreamUnavailable.
    """
    if request.box is not None:
        return [boxes.named(request.box)]
    if not boxes.up:
        raise UpstreamUnavailable(_ALL_DOWN)
    name = request.instance_id or request.model_key
    holding = [box for box in boxes.up if not box.is_left_alone or box.catalogue.listing.has_loaded(name)]
    return holding or boxes.up


def joined(failures: Sequence[BaseException], done: str = "", places: Sequence[str] = ()) -> BaseException:
    """Return the worst of these failures, with the messages of all of them, and what was `done`.

    `places` are the names of the boxes of the failures, if there are several boxes.
    """
    errors = [failure for failure in failures if isinstance(failure, GatewayError)]
    if len(errors) < len(failures):  # a fault, or the end of the process
        return next(failure for failure in failures if failure not in errors)
    worst = max(errors, key=lambda error: error.status)
    if len(errors) == 1 and not done and not places:
        return worst
    sentences = [error.message for error in errors]
    if places:
        sentences = [f"{place}: {sentence}" for place, sentence in zip(places, sentences, strict=True)]
    if done:
        sentences.append(done)
    return type(worst)(" ".join(sentences), details=worst.details, headers=worst.headers)
