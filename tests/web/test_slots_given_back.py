"""A slot is given back when LM Studio is done with a request, whatever it answered."""

from __future__ import annotations

import pytest

from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.scheduling.runs import Run
from lmgateway.web.state import SCHEDULER
from tests.conftest import StartGateway
from tests.scheduling.schedule import MODEL, ticket
from tests.support.upstream import ScriptedUpstream, answer
from tests.support.waiting import until

CHAT = "/v1/chat/completions"
# LM Studio's own words for a prompt that is too long.
OVERFLOW = (
    b'{"error": "The number of tokens to keep from the initial prompt is greater than the context length '
    b"(n_keep: 20000>= n_ctx: 4096). Try to load the model with a larger context length, or provide a "
    b'shorter input."}'
)


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        ("400 Bad Request", "application/json", OVERFLOW),
        ("200 OK", "text/event-stream", b"event: error\ndata: %s\n\n" % OVERFLOW),
    ],
)
async def test_a_request_that_lm_studio_refused_holds_no_slot(
    start_gateway: StartGateway, upstream: ScriptedUpstream, status: str, kind: str, body: bytes
) -> None:
    """LM Studio is done with it, though no token was seen: it isn't in its prompt."""
    upstream.script = answer(body, status=status, content_type=kind)
    gateway = await start_gateway(upstream.base_url)
    line = gateway.app[SCHEDULER].line
    request = {"model": "m", "messages": [], "stream": kind != "application/json"}
    async with gateway.client.post(gateway.url(CHAT), json=request) as response:
        assert response.status == 400
        assert "context" in await response.text()
    await until(lambda: not line.running or "lingering" in {one.phase for one in line.running.values()})
    assert not line.running


async def test_a_request_that_was_never_sent_is_no_short_answer(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    """A client that leaves at its turn says nothing about when a slot is free."""
    gateway = await start_gateway(upstream.base_url)
    nothing = Cancellation(lambda: None)
    exchange = Exchange(request_id="mine", client="127.0.0.1", method="POST", path=CHAT, cancellation=nothing)
    with Run(gateway.app[SCHEDULER], exchange) as run:
        assert run.begin(ticket())
    assert not gateway.app[SCHEDULER].line.running
    assert gateway.app[SCHEDULER].line.durations.mean(MODEL) is None
