"""Whether LM Studio's count of the requests on an instance is to be believed."""

from __future__ import annotations

from typing import Literal

# How many wrong counts in a row it takes.
STRIKES = 3
# An LM Studio that counts only what generates right now never counts more than one.
_SEVERAL = 2

Verdict = Literal["use", "ignore", "give up"]


class CountTrust:
    """What one instance's counts have shown. An instance that is loaded anew gets a new one."""

    def __init__(self) -> None:
        self._strikes = 0

    @property
    def is_lost(self) -> bool:
        """True if the counts are believed no more: there is no use in asking for them."""
        return self._strikes >= STRIKES

    def lose(self) -> None:
        """Believe no count any more: LM Studio can't count."""
        self._strikes = STRIKES

    def look(self, ours: int, counted: int) -> Verdict:
        """Judge a count. `ours` are the gateway's requests that run for certain.

        These are neither lingering nor sent so recently that LM Studio may not have read them. A count that
        misses them is ignored. "give up" is returned once, when trust is lost; the caller logs it.
        """
        if self.is_lost:
            return "ignore"
        if counted >= _SEVERAL:
            self._strikes = 0
        elif ours >= _SEVERAL:
            self._strikes += 1
            return "give up" if self.is_lost else "ignore"
        return "use"
