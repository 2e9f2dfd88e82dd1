"""A gateway before several simulators, each a box of its own name, and its people."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from lmgateway.simulator import Simulator, Switches
from lmgateway.web.state import FLEET, SCHEDULER
from tests.residency.house import LLM, House
from tests.support.keys import OWNER, bearer
from tests.support.reloading import reload
from tests.support.stops import Stops
from tests.support.studio import Studio, running_studio
from tests.support.waiting import PATIENCE_SECONDS, until


class Boxes(House):
    """`studios` and `paces` are by the boxes' names; the house's own studio is the first one."""

    def __init__(
        self, tables: dict[str, object], studios: dict[str, Studio], paces: dict[str, Stops]
    ) -> None:
        first = next(iter(studios))
        super().__init__(tables, studios[first], paces[first])
        self.studios, self.paces = studios, paces

    @property
    def owner(self) -> dict[str, str]:
        """The owner's key, as header fields."""
        return bearer(OWNER)

    def fields(self, who: str) -> dict[str, str]:
        """The header field with somebody's key."""
        return bearer(self._keys[who])

    def loaded(self, box: str) -> list[str]:
        """What a box has in memory."""
        return [one.identifier for one in self.studios[box].simulator.memory.instances()]

    def load(self, box: str, model: str = LLM) -> None:
        """Have somebody load a model in LM Studio itself, which the gateway learns from the next list."""
        self.studios[box].simulator.load(model)
        self.expire(box)

    def expire(self, box: str) -> None:
        """Have the gateway read a box's list again before the next request."""
        found = self.gateway.app[FLEET].boxes.get(box)
        assert found is not None
        found.catalogue.expire()

    def answered(self) -> dict[str, int]:
        """How many requests each box's LM Studio has answered, or is answering."""
        return {name: studio.simulator.ledger.generations for name, studio in self.studios.items()}

    async def box_of(self, request: Any) -> str:
        """The box at which a request was answered."""
        answer = await request.ended()
        done = await self.until("inference_complete", requestId=answer.headers["X-Request-Id"])
        return str(done["box"])

    async def load_fails(self, box: str, model: str) -> None:
        """Wait until a load of this model has failed there."""
        ledger = self.studios[box].simulator.ledger

        def has_failed() -> bool:
            return any((load.model, load.outcome) == (model, "failed") for load in ledger.loads)

        await asyncio.wait_for(ledger.until(has_failed), PATIENCE_SECONDS)

    async def state(self, box: str) -> str:
        _, report = await self.call("GET", "/admin/boxes")
        return next(str(one["state"]) for one in report["boxes"] if one["box"] == box)

    async def becomes(self, box: str, state: str) -> None:
        await self.until("box_state", box=box, state=state)

    async def all_known(self) -> None:
        """Wait until each box has been asked for its models."""

        async def known() -> bool:
            _, report = await self.call("GET", "/admin/boxes")
            return all(one["models"] for one in report["boxes"])

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await known():
                await asyncio.sleep(0.01)

    def configure(self, *names: str, **addresses: str) -> None:
        """Have a reload leave only these boxes, of which some have other addresses."""
        tables: dict[str, Any] = dict(self._tables)
        boxes = {name: dict(tables["boxes"][name]) for name in (*names, *addresses)}
        for name, address in addresses.items():
            boxes[name]["base_url"] = address
        tables["boxes"] = boxes
        reload(self.gateway, **tables)

    def set_up(self, *names: str, **settings: object) -> None:
        """Have a reload leave only these boxes, each with these settings too; None takes one away."""
        tables: dict[str, Any] = dict(self._tables)
        named = {name: tables["boxes"][name] | settings for name in names}
        tables["boxes"] = {
            name: {key: value for key, value in table.items() if value is not None}
            for name, table in named.items()
        }
        reload(self.gateway, **tables)

    def drain(self, box: str, is_draining: bool = True) -> None:
        stations = self.gateway.app[SCHEDULER].stations
        station = stations.get(box)
        assert station is not None
        stations.drain(station, is_draining)

    async def restart_box(self, box: str) -> None:
        studio = self.studios[box]
        await studio.stop()
        await studio.start(Simulator(pace=self.paces[box]))


@asynccontextmanager
async def boxes(
    folder: Path,
    *names: str,
    box: dict[str, Any] | None = None,
    disk: Mapping[str, Sequence[str]] | None = None,
    memory_bytes: int = 0,
    others: Mapping[str, str] | None = None,
    **tables: Any,
) -> AsyncIterator[Boxes]:
    """`box` has further settings of each box. `tables` are the gateway's configuration.

    `disk` has further models that only some boxes have. `others` are the addresses of the test's own boxes,
    the last ones of the configuration.
    """
    names = names or ("a", "b", "c")
    async with AsyncExitStack() as stack:
        paces = {name: Stops() for name in names}
        simulators = {
            name: Simulator(
                pace=paces[name],
                switches=Switches(memory_bytes=memory_bytes),
                extra_models=[{"modelKey": key} for key in (disk or {}).get(name, ())],
            )
            for name in names
        }
        studios = {
            name: await stack.enter_async_context(running_studio(one)) for name, one in simulators.items()
        }
        addresses = {name: studio.base_url for name, studio in studios.items()} | dict(others or {})
        settings: dict[str, Any] = {"connect_pause_ms": 20, **(box or {})}
        own: dict[str, Any] = {
            "auth": {"api_key": OWNER},
            "boxes": {name: {"base_url": url, **settings} for name, url in addresses.items()},
            "server": {"state_dir": str(folder / "state")},
        }
        home = Boxes(own | tables, studios, paces)
        await home.open()
        try:
            yield home
        finally:
            for pace in paces.values():
                pace.go_on()
            await home.close()


__all__ = ["Boxes", "boxes", "until"]
