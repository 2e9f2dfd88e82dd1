"""The boxes in force, and who learns what they have in memory."""

from __future__ import annotations

from lmgateway.boxes.listing import InstanceDetails, Listing
from lmgateway.simulator import Pace, Simulator
from lmgateway.web.state import FLEET
from tests.support.home import Home
from tests.support.reloading import reload
from tests.support.studio import running_studio

LLM = "qwen2.5-7b-instruct"


async def test_the_listener_hears_of_the_box_in_force_only(home: Home) -> None:
    """A reload to another LM Studio: what the old one had in memory is forgotten, and not announced again."""
    fleet, seen = home.gateway.app[FLEET], list[tuple[str, Listing]]()
    assert (await home.post("load", modelKey=LLM, loadConfig={"contextLength": 2048}))[0] == 200
    fleet.watch(lambda name, listing: seen.append((name, listing)))
    assert seen == [("lmstudio", Listing())]
    old = fleet.only
    await old.fresh_models()
    assert [listing.details for _, listing in seen[1:]] == [{LLM: InstanceDetails(4, 2048)}]
    async with running_studio(Simulator(pace=Pace.instant())) as other:
        reload(home.gateway, lmstudio={"base_url": other.base_url})
        assert seen[2:] == [("lmstudio", Listing())]
        await old.sdk.unload("llm", LLM)
        assert not (await old.list_models()).instances
        assert len(seen) == 3
        listing = await fleet.only.fresh_models()
        assert seen[3:] == [("lmstudio", listing)]
