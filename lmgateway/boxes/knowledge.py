"""What is known of the LM Studio at one address."""

from __future__ import annotations

from ..config import LMStudio
from .attendance import Attendance
from .awaiting import Awaiting
from .catalogue import Catalogue
from .health import Health
from .manageability import Manageability
from .refusals import Refusals


class Knowledge:
    """The owners of what is known of one LM Studio. A box with another address has others.

    `attendance` is None for the only LM Studio of a configuration, unless its machine may sleep.
    """

    def __init__(self, config: LMStudio) -> None:
        self.health = Health()
        self.catalogue = Catalogue()
        self.refusals = Refusals(self.health)
        self.manageability = Manageability(config, self.health)
        # LM Studio's version, None if it isn't known.
        self.version: str | None = None
        # How long the last probe took, in milliseconds; None if it had no answer.
        self.probe_ms: int | None = None
        self.attendance: Attendance | None = None
        self.awaiting = Awaiting()
