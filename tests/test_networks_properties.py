"""The client's address, whatever is in X-Forwarded-For."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lmgateway.networks import Address, Networks, forwarded_client, parse_address
from tests.support.properties import checked

TRUSTED = Networks(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])
PROXY = parse_address("10.0.0.1")

trusted_hops = st.sampled_from(
    ["10.1.2.3", " 10.9.9.9 ", "127.0.0.1:80", "::ffff:10.0.0.7", "fd00::1%eth0", "[fd00::2]:443"]
)
outside_hops = st.sampled_from(
    ["198.51.100.7", "\t203.0.113.9", "198.51.100.7:4711", "2001:db8::1", "[2001:db8::2]:1", "::ffff:8.8.8.8"]
) | st.ip_addresses().filter(lambda address: parse_address(str(address)) not in TRUSTED).map(str)
garbage = st.sampled_from(["", "unknown", "_hidden", "10.0.0", "10.0.0.1.", "[::1", "1:2:3", "[]", ":", "%"])
garbage |= st.text(max_size=8)
anything = st.lists(trusted_hops | outside_hops | garbage, max_size=6)
trusted_only = st.lists(trusted_hops, max_size=3)


UNKNOWN = "unknown"


def result(peer: Address, lines: list[str]) -> Address | str | None:
    """The client, or that it is unknown."""
    try:
        return forwarded_client(peer, lines, TRUSTED)
    except ValueError:
        return UNKNOWN


def address_of(hop: str) -> str:
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@checked
@given(st.ip_addresses(), st.lists(st.text(max_size=40) | anything.map(",".join), max_size=3))
def test_whatever_is_forwarded_only_trusted_peers_are_believed(peer: object, lines: list[str]) -> None:
    address = parse_address(str(peer))
    client = result(address, lines)
    assert client is None or address in TRUSTED


@checked
@given(anything, outside_hops, trusted_only)
def test_the_last_untrusted_address_is_the_client_whatever_it_claims(
    claimed: list[str], client: str, proxies: list[str]
) -> None:
    """So no client can take another address by sending a header of its own."""
    hops = [*claimed, client, *proxies]
    assert forwarded_client(PROXY, [",".join(hops)], TRUSTED) == parse_address(address_of(client))


@checked
@given(anything, trusted_only)
def test_a_client_behind_garbage_is_unknown(claimed: list[str], proxies: list[str]) -> None:
    """It never is the proxy that sent the garbage."""
    assert result(PROXY, [",".join([*claimed, "unknown", *proxies])]) is UNKNOWN


@checked
@given(st.data(), anything)
def test_lines_mean_the_same_as_one_long_line(data: st.DataObject, hops: list[str]) -> None:
    cut = data.draw(st.integers(1, max(1, len(hops) - 1)))
    lines = [",".join(part) for part in (hops[:cut], hops[cut:]) if part]
    joined = result(PROXY, [",".join(hops)] if hops else [])
    assert result(PROXY, lines) == joined
