"""A limited resource that all clients share: how much of it is in use, in all and by each client."""

from __future__ import annotations

from ..errors import RETRY_SOON, Overloaded


class Capacity:
    """The units in use. `full` and `share_used` complete the sentence of an error, with the limit in them."""

    __slots__ = ("_by_client", "_full", "_share_used", "used")

    def __init__(self, full: str, share_used: str) -> None:
        self.used = 0
        self._by_client: dict[str, int] = {}
        self._full = full
        self._share_used = share_used

    def admit(self, client: str, units: int, *, limit: int, share: int) -> None:
        """Raise Overloaded if so many more units would exceed the limit, or this client's share of it."""
        if self.used + units > limit:
            raise Overloaded(f"{self._full.format(limit)} Retry later.", headers=RETRY_SOON)
        if self._by_client.get(client, 0) + units > share:
            raise Overloaded(f"{self._share_used.format(share)} Retry later.", headers=RETRY_SOON)

    def claim(self, client: str, units: int, *, limit: int, share: int) -> None:
        """Count at least one unit as in use. Raises Overloaded as `admit`."""
        used, used_by_client = self.used + units, self._by_client.get(client, 0) + units
        if used > limit or used_by_client > share:
            self.admit(client, units, limit=limit, share=share)
        self.used, self._by_client[client] = used, used_by_client

    def give_back(self, client: str, units: int) -> None:
        self.used -= units
        left = self._by_client[client] - units
        if left:
            self._by_client[client] = left
        else:
            del self._by_client[client]
