"""The meaning of a head is cached; its key is checked for each request."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest
from multidict import CIMultiDictProxy

from lmgateway.access.guard import Guard
from lmgateway.boxes.fleet import Fleet
from lmgateway.config import Config, decode_custom
from lmgateway.errors import GatewayError, Unauthorized
from lmgateway.networks import Address
from lmgateway.observe.activity import Activity
from lmgateway.observe.event_stream import Events
from lmgateway.observe.prometheus import Metrics
from lmgateway.web.rules_in_force import RulesInForce
from lmgateway.web.ruleset import HEADS, RawFields, RequestHead, Ruleset
from tests.access.making import NOW, REST, key, ring, secret

KEY = "a-long-secret"
FIELDS = ((b"Host", b"gateway"), (b"Authorization", b"Bearer a-long-secret"), (b"X-Own", b"\xc3\xa9"))


def ruleset(tables: Mapping[str, object] | None = None) -> Ruleset:
    tables = tables or {"auth": {"api_key": KEY}}
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    return Ruleset(config, Fleet(config.studios, Activity(Events(), Metrics())).boxes)


def head(
    rules: Ruleset, *more: tuple[bytes, bytes], fields: RawFields = FIELDS, peer: str = "127.0.0.1"
) -> RequestHead:
    return rules.head(peer, (1, 1), (*fields, *more))


def test_heads_that_differ_only_in_content_length_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's requests usually differ only in Content-Length."""
    asked = []
    admit_address = Guard.admit_address

    def counted(guard: Guard, peer: Address, headers: CIMultiDictProxy[str]) -> Address:
        asked.append(peer)
        return admit_address(guard, peer, headers)

    monkeypatch.setattr(Guard, "admit_address", counted)
    rules = ruleset()
    clients = [head(rules, (b"Content-Length", b"%d" % number)).client for number in range(5)]
    assert (clients, len(asked)) == (["127.0.0.1"] * 5, 1)
    assert head(rules, peer="127.0.0.2").client == "127.0.0.2"
    assert len(asked) == 2


def test_a_verdict_on_a_key_is_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal requests a later one is refused if the key, or its former secret, has ended in between."""
    now = NOW
    monkeypatch.setattr("lmgateway.access.callers.unix_time", lambda: now)
    anna = key("anna", expires=NOW + 10)
    ben = key("ben", key_id="thenewer", previous=secret("theolder", until=NOW + 20))
    rules = RulesInForce(ruleset().with_keys(ring(anna, ben)))

    def caller(secret_id: str) -> str:
        sent = ((b"Host", b"gateway"), (b"X-API-Key", f"sk-lm-{secret_id}:{REST}".encode()))
        try:
            return head(rules.current, fields=sent).caller().name
        except Unauthorized:
            return "refused"

    secrets = (anna.secret.id, "theolder", "thenewer")
    assert [*map(caller, secrets)] == ["anna", "ben", "ben"]
    now = NOW + 10
    assert [*map(caller, secrets)] == ["refused", "ben", "ben"]
    now = NOW + 20
    assert [*map(caller, secrets)] == ["refused", "refused", "ben"]
    rules.replace(rules.current.with_keys(ring(anna)))
    assert [*map(caller, secrets)] == ["refused", "refused", "refused"]


@pytest.mark.parametrize(
    "judgement", [lambda refused: refused.client, RequestHead.check_framing, RequestHead.for_upstream]
)
def test_a_refusal_is_raised_each_time(judgement: Callable[[RequestHead], object]) -> None:
    rules = ruleset({"network": {"ip_allowlist": ["10.0.0.0/8"]}, "auth": {"api_key": KEY}})
    refused = rules.head("192.168.1.1", (1, 1), ((b"X-Bad", b"\x01"), (b"Transfer-Encoding", b"gzip")))
    for _ in range(2):
        with pytest.raises(GatewayError):
            judgement(refused)


def test_each_request_has_its_own_fields_for_lm_studio() -> None:
    """One request's changes don't affect the next one."""
    rules = ruleset()
    first = head(rules).for_upstream()
    first["Content-Length"] = "1"
    second = head(rules).for_upstream()
    assert "Content-Length" not in second
    assert second["X-Own"] == "é"


def test_the_cache_of_heads_is_bounded() -> None:
    rules = ruleset()
    for number in range(3 * HEADS):
        head(rules, (b"X-Number", b"%d" % number))
    assert rules._known.cache_info().currsize == HEADS
