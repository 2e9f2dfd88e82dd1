"""Who learns what happens to the boxes in force."""

from __future__ import annotations

from .listing import Listing
from .presence import State


class FleetListener:
    """Receives what happens to the boxes in force, by their names. It must not raise."""

    def listed(self, box: str, listing: Listing) -> None:
        """Take in a snapshot: whenever a refresh changes it, and for a new address."""

    def lost(self, box: str) -> None:
        """Take in that what LM Studio has in memory isn't known any more.

        It has closed the SDK's connection, has stopped answering, or is another one than before.
        """

    def changed(self, box: str, state: State, reason: str) -> None:
        """Take in that a box is up, or down, or is being woken up."""

    def is_busy(self, box: str) -> bool:
        """Return whether requests run on a box, or loads are in progress there."""
        return False

    def rests(self, box: str, is_resting: bool) -> None:
        """Take in that nothing is sent to an idle box any more, or that it is used again."""

    def silent(self, box: str) -> None:
        """Take in that a box that is down hasn't answered a greeting."""
