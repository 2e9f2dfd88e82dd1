"""How fast tokens came in the last hour."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from .exchange import Exchange

HOUR_SECONDS = 3600
HOUR_EXCHANGES = 2000
# Not each by itself: a hundred at once take a fraction of the time.
ADDED_TOGETHER = 100
_ROW = 4


class Speed(NamedTuple):
    """Of one exchange; `began` is in Unix seconds."""

    began: float
    ttft_ms: int | None
    tokens_per_second: float | None


class Speeds:
    """The speeds of up to 2,000 exchanges: bare numbers, since there are many and they are kept for long."""

    def __init__(self) -> None:
        # Rows of: the end by the monotonic clock, and what a Speed tells. NaN stands for None.
        self._rows = array("d")
        self._new: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Take an exchange into account, which has ended."""
        self._new.append(exchange)
        if len(self._new) >= ADDED_TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Let go of the exchanges themselves."""
        for exchange in self._new:
            if exchange.tokens:
                self._add(exchange)
        self._new.clear()
        if len(self._rows) > 2 * HOUR_EXCHANGES * _ROW:  # moved seldom, not each time
            del self._rows[: -HOUR_EXCHANGES * _ROW]

    def _add(self, exchange: Exchange) -> None:
        speed, ttft_ms = exchange.tokens_per_second, exchange.ttft_ms
        self._rows.extend(
            (
                exchange.ended or 0.0,
                exchange.wall_clock,
                math.nan if ttft_ms is None else ttft_ms,
                math.nan if speed is None else speed,
            )
        )

    def last_hour(self) -> Iterator[Speed]:
        """Return the speeds of what generated tokens in the last hour, oldest first."""
        self.settle()
        horizon, rows = time.monotonic() - HOUR_SECONDS, self._rows[-HOUR_EXCHANGES * _ROW :]
        for start in range(0, len(rows), _ROW):
            ended, began, ttft_ms, speed = rows[start : start + _ROW]
            if ended > horizon:
                yield Speed(
                    began,
                    None if math.isnan(ttft_ms) else round(ttft_ms),
                    None if math.isnan(speed) else speed,
                )
