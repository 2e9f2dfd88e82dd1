"""When each named key was used last, and from how many addresses."""

from __future__ import annotations

from collections.abc import Mapping

from ..observe.clock import unix_time

RECENT_SECONDS = 86_400
# More say no more: the key is shared.
MAX_ADDRESSES = 100
# How far the saved time of the last use may lag behind.
SAVE_SECONDS = 60


class KeyUses:
    """The owner of these times, by name of key. Addresses are only counted, and only in memory."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}
        self._saved: dict[str, float] = {}
        self._addresses: dict[str, dict[str, float]] = {}

    def restore(self, saved: Mapping[str, float]) -> None:
        self._last.update(saved)
        self._saved.update(saved)

    def add(self, name: str, client: str) -> None:
        """Record that a client at this address uses the key now."""
        now = self._last[name] = unix_time()
        addresses = self._addresses.setdefault(name, {})
        if client in addresses or len(addresses) < MAX_ADDRESSES:
            addresses[client] = now
        elif old := [one for one, at in addresses.items() if at < now - RECENT_SECONDS]:
            del addresses[old[0]]
            addresses[client] = now

    def forget(self, name: str) -> None:
        for times in (self._last, self._saved):
            times.pop(name, None)
        self._addresses.pop(name, None)

    def last(self, name: str) -> float | None:
        return self._last.get(name)

    def recent_addresses(self, name: str) -> int:
        since = unix_time() - RECENT_SECONDS
        return sum(at >= since for at in self._addresses.get(name, {}).values())

    def unsaved(self, *, all_of_them: bool = False) -> dict[str, float]:
        """Return the times that are to be saved."""
        most = 0 if all_of_them else SAVE_SECONDS
        return {name: at for name, at in self._last.items() if at - self._saved.get(name, 0.0) > most}

    def saved(self, times: Mapping[str, float]) -> None:
        self._saved.update(times)
