"""What a head means is found out once, and a refusal each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import pytest
from multidict import CIMultiDictProxy

from lmgateway.access.guard import Guard
from lmgateway.config import Config, decode_custom
from lmgateway.errors import GatewayError, Unauthorized
from lmgateway.networks import Address
from lmgateway.web.policy import HEADS, Head, Policy, RawFields

KEY = "a-long-secret"
FIELDS = ((b"Host", b"gateway"), (b"Authorization", b"Bearer a-long-secret"), (b"X-Own", b"\xc3\xa9"))


def policy(tables: Mapping[str, object] | None = None) -> Policy:
    tables = tables or {"auth": {"api_key": KEY}}
    return Policy(msgspec.convert(tables, Config, dec_hook=decode_custom))


def head(
    judge: Policy, *more: tuple[bytes, bytes], fields: RawFields = FIELDS, peer: str = "127.0.0.1"
) -> Head:
    return judge.head(peer, (1, 1), (*fields, *more))


def test_heads_that_differ_in_length_only_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client's requests have the same head but for Content-Length."""
    asked = []
    admit_address = Guard.admit_address

    def counted(guard: Guard, peer: Address, headers: CIMultiDictProxy[str]) -> Address:
        asked.append(peer)
        return admit_address(guard, peer, headers)

    monkeypatch.setattr(Guard, "admit_address", counted)
    judge = policy()
    clients = [head(judge, (b"Content-Length", b"%d" % number)).client for number in range(5)]
    assert (clients, len(asked)) == (["127.0.0.1"] * 5, 1)
    assert head(judge, peer="127.0.0.2").client == "127.0.0.2"
    assert len(asked) == 2


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(FIELDS[:1], id="no key"),
        pytest.param((FIELDS[0], (b"Authorization", b"Bearer a-long-secreT")), id="another key"),
        pytest.param((*FIELDS, (b"Authorization", b"Bearer x")), id="a second key"),
    ],
)
def test_another_head_is_judged_anew_each_time(other: RawFields) -> None:
    """Whoever was let in opens the door for nobody else."""
    judge = policy()
    head(judge).require_key()
    for _ in range(3):
        with pytest.raises(Unauthorized):
            head(judge, fields=other).require_key()
    head(judge).require_key()


@pytest.mark.parametrize(
    "judgement", [lambda refused: refused.client, Head.check_framing, Head.for_upstream, Head.require_key]
)
def test_every_part_is_refused_each_time(judgement: Callable[[Head], object]) -> None:
    judge = policy({"network": {"ip_allowlist": ["10.0.0.0/8"]}, "auth": {"api_key": KEY}})
    refused = judge.head("192.168.1.1", (1, 1), ((b"X-Bad", b"\x01"), (b"Transfer-Encoding", b"gzip")))
    for _ in range(2):
        with pytest.raises(GatewayError):
            judgement(refused)


def test_what_goes_to_lm_studio_is_everybodys_own() -> None:
    """One request's changes to its fields are not the next one's."""
    judge = policy()
    first = head(judge).for_upstream()
    first["Content-Length"] = "1"
    second = head(judge).for_upstream()
    assert "Content-Length" not in second
    assert second["X-Own"] == "é"


def test_strangers_dont_fill_the_memory() -> None:
    judge = policy()
    for number in range(3 * HEADS):
        head(judge, (b"X-Number", b"%d" % number))
    assert judge._known.cache_info().currsize == HEADS
