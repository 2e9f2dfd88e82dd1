"""Signs of a wrong clock: files dated in the future, and other clocks that differ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .findings import Finding
from .installation import installed_at

_CHECK = "clock"
# The clock of a file server or another machine may be slightly ahead of this one.
TOLERANCE = timedelta(minutes=1)
_SET_IT = "Set this machine's clock, or synchronize it: timedatectl set-ntp true"


def examine(config_file: Path | None) -> Iterator[Finding]:
    """Compare the clock with the dates of the gateway's installation and of its configuration."""
    now = datetime.now(UTC)
    dates = {"lmgateway was installed": installed_at()}
    if config_file is not None:
        dates[f"{config_file} was written"] = datetime.fromtimestamp(config_file.stat().st_mtime, UTC)
    future = [(what, when) for what, when in dates.items() if when is not None and when - now > TOLERANCE]
    for what, when in future:
        message = f"The clock says {now:%Y-%m-%d %H:%M} UTC, but {what} on {when:%Y-%m-%d %H:%M}."
        yield Finding.warning(_CHECK, message, _SET_IT)
    if not future:
        yield Finding.ok(_CHECK, f"The clock says {now:%Y-%m-%d %H:%M} UTC.")


def compare(other: str, its_time: datetime | None) -> Iterator[Finding]:
    """Compare the clock with another one, if its time is known."""
    if its_time is None:
        return
    difference = abs(datetime.now(UTC) - its_time)
    if difference > TOLERANCE:
        message = f"{other}'s clock and this machine's differ by {difference.total_seconds():.0f} s."
        yield Finding.warning(_CHECK, message, _SET_IT)
