"""Whether one LM Studio has sent anything lately, whatever it was asked."""

from __future__ import annotations


class SignsOfLife:
    """`heard` is set by each piece of data on its connections and by a load's progress.

    Whoever wants to know whether there was any since a moment resets it then. An attribute, because it is set
    with each piece of a stream: a call would take three times as long.
    """

    __slots__ = ("heard",)

    def __init__(self) -> None:
        self.heard = False
