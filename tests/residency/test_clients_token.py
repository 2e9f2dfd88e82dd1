"""LM Studio requires a token that only its clients have: their X-API-Key is for the gateway."""

from __future__ import annotations

from lmgateway.simulator import Simulator
from tests.conftest import StartGateway
from tests.support.household import CHAT, HELLO, LLM, ask
from tests.support.studio import running_studio

TOKEN = "sk-lm-abcdefgh:abcdefghijklmnopqrst"
KEY = {"X-API-Key": "owner-key-0123456789"}


async def test_the_gateway_decides_nothing(start_gateway: StartGateway) -> None:
    """It can't list the models, so LM Studio loads them as it does without the gateway."""
    async with running_studio(Simulator(api_token=TOKEN)) as studio:
        gateway = await start_gateway(studio.base_url, auth={"api_key": KEY["X-API-Key"]})
        for _ in range(2):
            reply = await ask(
                gateway, {**KEY, "Authorization": f"Bearer {TOKEN}"}, CHAT, {**HELLO, "model": LLM}
            )
            assert reply.status == 200
        assert [load.loaded_by for load in studio.simulator.ledger.loads] == ["jit"]
