"""Those who wait for an unload that they asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from ...errors import GatewayError
from ...models.memory import Drain
from ..slots import Instance
from .effects import Unloaded


class Asker:
    """Waits for the outcome of one unload. Without patience, requests that still run are an outcome."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Unloaded] = asyncio.get_running_loop().create_future()
        self.is_patient = True

    async def wait(self, drain: Drain) -> None:
        """Wait for the outcome as long as the drain allows."""
        if drain.force:  # it can't be taken back
            await self.outcome
            return
        leaving = asyncio.create_task(drain.given_up.wait())
        try:
            ends: set[asyncio.Future[Any]] = {self.outcome, leaving}
            await asyncio.wait(ends, timeout=drain.seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
        self.is_patient = False


class Askers:
    """The owner of all who wait, by instance."""

    def __init__(self) -> None:
        self._of: dict[Instance, list[Asker]] = {}

    def __contains__(self, instance: Instance) -> bool:
        return instance in self._of

    def add(self, instance: Instance) -> Asker:
        asker = Asker()
        self._of.setdefault(instance, []).append(asker)
        return asker

    def remove(self, instance: Instance, asker: Asker) -> bool:
        """Return whether it was the last one that waited for this instance."""
        askers = self._of[instance]
        askers.remove(asker)
        if not askers:
            del self._of[instance]
        return not askers

    def tell(self, instance: Instance, outcome: Unloaded) -> None:
        """Give those the outcome that wait for this instance.

        Of `busy` only those without patience. `kept` is none: it wasn't unloaded for them.
        """
        for asker in self._of.get(instance, ()) if outcome.outcome != "kept" else ():
            if not asker.outcome.done() and (outcome.outcome != "busy" or not asker.is_patient):
                asker.outcome.set_result(outcome)

    def end_drains(self, error: GatewayError) -> None:
        """End the wait for what still drains."""
        for instance, askers in self._of.items():
            for asker in askers if instance.state == "draining" else ():
                if not asker.outcome.done():
                    asker.outcome.set_exception(error)
