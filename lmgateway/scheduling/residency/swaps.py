"""A model that takes the place of others."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ..slots import Instance
from .effects import Target


class Swap(Struct, eq=False):
    """The instances of `leaving` make room for the model `to`.

    Those that are busy drain first: they get no new request. A swap is taken back while one drains, if nobody
    waits for `to` any more; from then on it is completed.
    """

    to: Target
    leaving: list[Instance]
    since: float
    # Of the instances that have left, the first one's model, for reports.
    from_model: str = ""

    @property
    def state(self) -> Literal["draining", "unloading", "loading"]:
        states = {instance.state for instance in self.leaving}
        if "draining" in states:
            return "draining"
        return "unloading" if states else "loading"
