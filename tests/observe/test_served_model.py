"""Whether the model that answered is the one that was asked for."""

from __future__ import annotations

import pytest

from lmgateway.observe.exchange import Cancellation, Exchange
from lmgateway.observe.record import Conclusion, make_record
from lmgateway.observe.served_model import other_model
from lmgateway.observe.tokens import TokenCount

LISTED = {"fast": "qwen/qwen3-8b", "maker/qwen3-8b-gguf/q4.gguf": "qwen/qwen3-8b"}


@pytest.mark.parametrize(
    ("asked", "answered", "is_same"),
    [
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-8b", True, id="the same"),
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-8b:2", True, id="its second instance"),
        pytest.param("qwen/qwen3-8b:2", "qwen/qwen3-8b:12", True, id="one instance for another"),
        pytest.param("qwen/qwen3-8b", "fast", True, id="its instance of another name"),
        pytest.param("maker/qwen3-8b-gguf/q4.gguf", "qwen/qwen3-8b:2", True, id="path"),
        pytest.param("qwen/qwen3-8b@q4_k_m", "qwen/qwen3-8b", True, id="variant"),
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-8b@q4_k_m:2", True, id="instance of a variant"),
        pytest.param("qwen/qwen3-8b@q4_k_m", "qwen/qwen3-8b@q8_0", False, id="another variant"),
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-4b", False, id="another model"),
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-8b-2", False, id="a longer name"),
        pytest.param("qwen/qwen3-8b", "qwen/qwen3-8b:chat", False, id="no number"),
        pytest.param("gpt-4o", "fast", False, id="an invented name"),
        pytest.param(None, "fast", False, id="none asked for"),
    ],
)
def test_an_instance_is_no_other_model(asked: str | None, answered: str, is_same: bool) -> None:
    """LM Studio answers with the instance's identifier, which may be `key:2` or chosen freely."""
    served = other_model(asked, answered, lambda name: LISTED.get(name, name))
    assert served == (None if is_same else answered)


def exchange_of(asked: str | None, answered: str | None) -> Exchange:
    exchange = Exchange(
        request_id="id",
        client="client",
        method="POST",
        path="/",
        cancellation=Cancellation(lambda: None),
        redact=lambda text: text.replace("secret", "***"),
    )
    exchange.resolved(asked, stream=False)
    exchange.answered(200, stream=False, count=TokenCount(model=answered))
    return exchange


@pytest.mark.parametrize(
    ("asked", "answered", "served"),
    [
        ("a", None, None),
        ("a", "b secret\n", "b ***\\n"),
        ("a", "b" * 1000, "b" * 255 + "…"),
        ("secret\n" + "x" * 1000, "secret\n" + "x" * 1000, None),
    ],
    ids=["unknown", "cleaned", "bounded", "the same, cleaned"],
)
def test_a_record_has_the_served_model(asked: str, answered: str | None, served: str | None) -> None:
    """Without keys, printable and bounded."""
    record = make_record(exchange_of(asked, answered), Conclusion("completed"), 1.0)
    assert record.served_model == served


def test_a_record_says_what_was_mended() -> None:
    exchange = exchange_of("a", "a")
    assert make_record(exchange, Conclusion("completed"), 1.0).mended == ()
    exchange.mended_as(("tool_choice", "tool_types"))
    assert make_record(exchange, Conclusion("completed"), 1.0).mended == ("tool_choice", "tool_types")
