"""What a body says of its answer, in each API's words, whether it is decoded at once or in pieces."""

from __future__ import annotations

import pytest

from lmgateway.schema.models import DefaultInference
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.traffic.long_body import LongBody
from lmgateway.traffic.members import MemberScan
from lmgateway.traffic.requirements import is_flexible, most_tokens
from lmgateway.traffic.rewrite import WANTED, Body
from lmgateway.traffic.short_body import ShortBody

CHAT, RESPONSES, MESSAGES, NATIVE = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/api/v1/chat",
)
DEFAULTS = (DefaultInference(top_p=0.5), DefaultInference(max_tokens=7), DefaultInference(max_tokens=8))


def bodies(text: bytes) -> list[Body]:
    """The same body, decoded in each way."""
    scan = MemberScan(text, WANTED)
    while scan.step():
        pass
    long = [LongBody.scanned(text, scan)]
    if scan.is_object:
        long.append(LongBody.decoded(text, WANTED.decode(text)))
    return [ShortBody.decoded(text), *long]


@pytest.mark.parametrize(
    ("path", "text", "tokens"),
    [
        (CHAT, b'{"max_tokens":5}', 5),
        (CHAT, b'{"max_completion_tokens": 6}', 6),
        (CHAT, b'{"max_tokens":5,"max_completion_tokens":6}', 6),
        (CHAT, b'{"max_tokens":null,"max_completion_tokens":6}', 6),
        (CHAT, b'{"max_tokens":-1,"max_completion_tokens":6}', None),  # -1 is no limit to LM Studio
        (CHAT, b'{"max_tokens":-1}', None),
        (CHAT, b'{"max_tokens":0}', None),
        (CHAT, b'{"max_tokens":"5"}', None),
        (CHAT, b'{"max_tokens":5.0}', 5),
        (CHAT, b'{"max_tokens":5.5}', None),
        (CHAT, b'{"max_tokens":1e999}', None),
        (CHAT, b'{"max_tokens":%s}' % (b"9" * 5000), None),
        (CHAT, b'{"max_tokens":null}', None),
        (CHAT, b'{"max_output_tokens":5}', 7),
        (CHAT, b'{"messages":[{"max_tokens":5}]}', 7),
        ("/v1/completions", b'{"max_tokens":5}', 5),
        (RESPONSES, b'{"max_output_tokens":5}', 5),
        (RESPONSES, b'{"max_tokens":5}', 7),
        (NATIVE, b'{"max_output_tokens":5}', 5),
        (MESSAGES, b'{"max_tokens":5}', 5),
        (MESSAGES, b"{}", 7),
        ("/v1/embeddings", b'{"max_tokens":5}', None),
        (CHAT, b"[]", 7),
    ],
)
def test_the_limit_of_an_answer(path: str, text: bytes, tokens: int | None) -> None:
    """The client's, else the first default that is filled in; none of another API's name."""
    for body in bodies(text):
        assert most_tokens(body, DIALECTS[path], DEFAULTS) == tokens


def test_without_a_default_an_answer_has_no_limit() -> None:
    """It is as long as the model's usual ones."""
    assert most_tokens(ShortBody.decoded(b"{}"), DIALECTS[CHAT]) is None


@pytest.mark.parametrize(
    ("text", "flexible"),
    [
        (b'{"service_tier":"flex"}', True),
        (b'{"service_tier" : "fl\\u0065x"}', True),
        (b'{"service_tier":"default"}', False),
        (b'{"service_tier":"FLEX"}', False),
        (b'{"service_tier":["flex"]}', False),
        (b'{"service_tier":null}', False),
        (b'{"x":{"service_tier":"flex"}}', False),
        (b"{}", False),
        (b'"flex"', False),
    ],
)
def test_a_request_may_lower_itself(text: bytes, flexible: bool) -> None:
    """By OpenAI's `service_tier`, of the body itself."""
    for body in bodies(text):
        assert is_flexible(body) is flexible
