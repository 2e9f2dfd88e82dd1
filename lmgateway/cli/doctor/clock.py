"""Signs of a wrong clock: what was made in the future, and other clocks that say something else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from .findings import Finding
from .installation import installed_at

_CHECK = "clock"
# A file server, or another machine, may be a little ahead of this one.
TOLERANCE = timedelta(minutes=1)
_SET_IT = "Set this machine's clock, or let it be set: timedatectl set-ntp true"


def examine(config_file: Path | None) -> Iterator[Finding]:
    """Compare the clock with when the gateway was installed, and its configuration written."""
    now = datetime.now(UTC)
    written = {"lmgateway was installed": installed_at()}
    if config_file is not None:
        written[f"{config_file} was written"] = datetime.fromtimestamp(config_file.stat().st_mtime, UTC)
    late = [(what, when) for what, when in written.items() if when is not None and when - now > TOLERANCE]
    for what, when in late:
        message = f"It is {now:%Y-%m-%d %H:%M} UTC here, but {what} on {when:%Y-%m-%d %H:%M}."
        yield Finding.warning(_CHECK, message, _SET_IT)
    if not late:
        yield Finding.ok(_CHECK, f"It is {now:%Y-%m-%d %H:%M} UTC here.")


def compare(other: str, its_time: datetime | None) -> Iterator[Finding]:
    """Compare the clock with another one, if that is known."""
    if its_time is None:
        return
    apart = abs(datetime.now(UTC) - its_time)
    if apart > TOLERANCE:
        message = f"{other}'s clock and this machine's are {apart.total_seconds():.0f} s apart."
        yield Finding.warning(_CHECK, message, _SET_IT)
