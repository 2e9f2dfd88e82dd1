"""The text for Prometheus, made in pieces."""

from __future__ import annotations

import time

from prometheus_client.parser import text_string_to_metric_families

from lmgateway.observe.exposition import PIECE_ITEMS, of_tallies
from lmgateway.observe.tallies import Tally

MODELS = 5 * PIECE_ITEMS + 1


def tally() -> Tally:
    tally = Tally()
    tally.by_status["2xx"] += 1
    tally.tokens["in"] += 3
    tally.reasoning_tokens += 2
    for distribution in (tally.seconds, tally.first_token, tally.speed):
        distribution.observe(1)
    return tally


def test_a_text_of_many_pieces_is_one_text() -> None:
    """Every family has its comments once, and all of its samples behind them."""
    tallies = [(("/v1/messages", f'model "{number}"', "owner"), tally()) for number in range(MODELS)]
    text = b"".join(of_tallies(tallies)).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert text.count("# TYPE ") == text.count("# HELP ") == len(families) == 7
    for name in ("lmgateway_requests", "lmgateway_tokens", "lmgateway_reasoning_tokens"):
        assert {sample.labels["model"] for sample in families[name].samples} == {
            labels[1] for labels, _ in tallies
        }
    counts = [
        sample for sample in families["lmgateway_request_seconds"].samples if sample.name[-6:] == "_count"
    ]
    assert [sample.value for sample in counts] == [1] * MODELS


def test_no_piece_takes_long() -> None:
    """With 500 models on ten routes, the whole text takes seconds."""
    tallies = [((f"/route-{n % 10}", f"model-{n}", "owner"), tally()) for n in range(600)]
    longest = 0.0
    began = time.thread_time()
    for _ in of_tallies(tallies):
        longest, began = max(longest, time.thread_time() - began), time.thread_time()
    assert longest < 0.03
