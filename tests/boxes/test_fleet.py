"""The boxes in force, and who learns what they have in memory."""

from __future__ import annotations

import pytest

from lmgateway.boxes.fleet_listener import FleetListener
from lmgateway.boxes.listing import InstanceDetails, Listing
from lmgateway.errors import UpstreamUnavailable
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

    class Listener(FleetListener):
        def listed(self, box: str, listing: Listing) -> None:
            seen.append((box, listing))

    fleet.watch(Listener())
    assert [(name, listing.details) for name, listing in seen] == [
        ("lmstudio", {LLM: InstanceDetails(4, 2048)})
    ]
    old = fleet.boxes.main
    async with running_studio(Simulator(pace=Pace.instant())) as other:
        reload(home.gateway, lmstudio={"base_url": other.base_url})
        assert seen[1:] == [("lmstudio", Listing())]
        await old.sdk.unload("llm", LLM)
        assert not (await old.list_models()).instances
        assert all(listing is not old.catalogue.listing for _, listing in seen)
        listing = await fleet.boxes.main.fresh_models()
        assert seen[2:] == [("lmstudio", listing)]


async def test_the_listener_hears_of_a_loss(home: Home) -> None:
    """LM Studio has stopped answering, or a reload has led to another one."""
    fleet, lost = home.gateway.app[FLEET], list[str]()
    await fleet.boxes.main.list_models()

    class Listener(FleetListener):
        def lost(self, box: str) -> None:
            lost.append(box)

    fleet.watch(Listener())
    await home.studio.stop()
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            await fleet.boxes.main.list_models()
    assert lost == ["lmstudio"]
    reload(home.gateway, lmstudio={"base_url": home.studio.base_url, "api_token": "sk-lm-another:1"})
    assert lost == ["lmstudio"]
    reload(home.gateway, lmstudio={"base_url": "http://127.0.0.1:9"})
    assert lost == ["lmstudio"] * 2
