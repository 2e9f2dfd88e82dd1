"""Wakes a machine for what takes no place in the line."""

from __future__ import annotations

from ..boxes.box import Box
from . import refusals


async def awaken(box: Box, reason: str) -> None:
    """Return when LM Studio answers, if its machine can be woken up and may be asleep.

    Raises BoxAsleep if it doesn't wake up in time.
    """
    attendance = box.known.attendance
    if attendance is not None and attendance.may_be_asleep and not await attendance.awaken(reason):
        raise refusals.asleep(box.name)
