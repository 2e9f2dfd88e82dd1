"""Addresses, allowlists, and the client's address behind a proxy."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from lmgateway.networks import Allowlist, Networks, forwarded_client, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        pytest.param("192.168.1.7", "192.168.1.7", id="v4"),
        pytest.param("2001:DB8:0:0::1", "2001:db8::1", id="v6"),
        pytest.param("::ffff:192.168.1.7", "192.168.1.7", id="mapped"),
        pytest.param("::ffff:c0a8:107", "192.168.1.7", id="mapped, in hex"),
        pytest.param("::ffff:127.0.0.1%lo", "127.0.0.1", id="mapped, with zone"),
        pytest.param("fe80::1%eth0", "fe80::1", id="zone"),
    ],
)
def test_one_peer_has_one_address(text, address):
    """However a socket or a proxy spells an address, it is the same client."""
    assert parse_address(text) == ip_address(address)


@pytest.mark.parametrize("text", ["", "unknown", "1.2.3", "1.2.3.4:80", "[::1]", "010.0.0.1", "1.2.3.4/32"])
def test_what_is_no_address_is_refused(text):
    """Nothing that only resembles an address, an octal one least of all, is taken for one."""
    with pytest.raises(ValueError, match="does not appear to be"):
        parse_address(text)


@pytest.mark.parametrize(
    ("entries", "address", "inside"),
    [
        pytest.param(["*"], "203.0.113.9", True, id="everybody, v4"),
        pytest.param(["10.0.0.1", "*"], "2001:db8::1", True, id="everybody, v6, beside another"),
        pytest.param([], "127.0.0.1", False, id="nobody"),
        pytest.param(["10.0.0.1"], "10.0.0.1", True, id="address"),
        pytest.param(["10.0.0.1"], "10.0.0.2", False, id="another address"),
        pytest.param(["10.0.0.0/8"], "10.255.255.255", True, id="last of a network"),
        pytest.param(["10.0.0.0/8"], "11.0.0.0", False, id="first after a network"),
        pytest.param(["192.168.1.7/24"], "192.168.1.200", True, id="host bits"),
        pytest.param(["0.0.0.0/0"], "203.0.113.9", True, id="all of v4"),
        pytest.param(["0.0.0.0/0"], "::1", False, id="all of v4 has no v6"),
        pytest.param(["::/0"], "127.0.0.1", False, id="all of v6 has no v4"),
        pytest.param(["2001:db8::/32"], "2001:db8:ffff::1", True, id="v6 network"),
        pytest.param(["::1"], "0.0.0.1", False, id="same number, other family"),
        pytest.param(["10.0.0.0/8"], "::ffff:10.1.2.3", True, id="v4 client of a dual-stack socket"),
        pytest.param(["::ffff:10.1.2.3"], "10.1.2.3", True, id="mapped entry"),
        pytest.param(["::ffff:10.0.0.0/104"], "10.1.2.3", True, id="mapped network"),
        pytest.param(["::ffff:10.0.0.0/104"], "11.1.2.3", False, id="outside a mapped network"),
        pytest.param(["::ffff:0:0/96"], "203.0.113.9", True, id="all of v4, mapped"),
        pytest.param(["fe80::1"], "fe80::1%eth0", True, id="client with a zone"),
        pytest.param(["fe80::1%eth0"], "fe80::1", True, id="entry with a zone"),
        pytest.param(["10.0.0.1", "10.0.0.9", "10.1.0.0/16"], "10.0.0.9", True, id="one of several"),
        pytest.param([" 10.0.0.1 "], "10.0.0.1", True, id="outer spaces"),
    ],
)
def test_a_list_holds_exactly_what_it_names(entries, address, inside):
    """An allowlist lets in those it names and no other address."""
    assert (parse_address(address) in Networks(entries)) is inside


@pytest.mark.parametrize(
    "entry", ["", "localhost", "10.0.0.300", "10.0.0.1/33", "10.0.0.1-9", "10.0.0.*", "**", "::1/129"]
)
def test_a_bad_entry_is_named(entry):
    """An administrator reads which entry of a long list is wrong, and the list isn't used without it."""
    with pytest.raises(ValueError, match="is no address and no network") as caught:
        Networks(["127.0.0.1", entry])
    assert repr(entry) in str(caught.value)


def test_an_empty_allowlist_is_a_mistake():
    """An allowlist that was emptied by accident doesn't silently lock out every client."""
    with pytest.raises(ValueError, match="it is empty"):
        Allowlist([])


PROXIES = Networks(["127.0.0.1", "10.0.0.0/8"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        pytest.param("203.0.113.9", ["127.0.0.1"], None, id="untrusted peer"),
        pytest.param("127.0.0.1", [], None, id="nothing forwarded"),
        pytest.param("127.0.0.1", ["198.51.100.1"], "198.51.100.1", id="one hop"),
        pytest.param("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1", id="mapped proxy"),
        pytest.param("127.0.0.1", ["127.0.0.1, 198.51.100.1"], "198.51.100.1", id="invented by the client"),
        pytest.param("127.0.0.1", ["6.6.6.6,198.51.100.1,10.0.0.2"], "198.51.100.1", id="trusted hops"),
        pytest.param("127.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1", id="two lines"),
        pytest.param("127.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1", id="two lines, trusted hop"),
        pytest.param("127.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3", id="proxies only"),
        pytest.param("127.0.0.1", ["unknown, 198.51.100.1"], "198.51.100.1", id="garbage further left"),
        pytest.param("127.0.0.1", ["198.51.100.1:4711"], "198.51.100.1", id="port"),
        pytest.param("127.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1", id="v6 and port"),
        pytest.param("127.0.0.1", ["[2001:db8::1]"], "2001:db8::1", id="v6 in brackets"),
        pytest.param("127.0.0.1", ["127.0.0.1"], "127.0.0.1", id="the proxy's own machine"),
        pytest.param("127.0.0.1", [" \t198.51.100.1 "], "198.51.100.1", id="white space"),
        pytest.param("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1", id="mapped client"),
        pytest.param("127.0.0.1", ["fe80::1%eth0"], "fe80::1", id="client with a zone"),
    ],
)
def test_forwarded_addresses_are_believed_from_the_right(peer, forwarded_for, client):
    """A client can't choose its own address: only what a trusted proxy appended counts."""
    address = forwarded_client(parse_address(peer), forwarded_for, PROXIES)
    assert address == (None if client is None else ip_address(client))


@pytest.mark.parametrize(
    "forwarded_for",
    [
        pytest.param(["unknown"], id="unknown"),
        pytest.param(["203.0.113.9, unknown"], id="unknown behind an address"),
        pytest.param(["203.0.113.9", "unknown"], id="unknown in a line of its own"),
        pytest.param(["198.51.100.1, unknown, 10.0.0.2"], id="unknown before a trusted hop"),
        pytest.param([""], id="empty"),
        pytest.param(["", ""], id="empty twice"),
        pytest.param(["198.51.100.1,"], id="empty element"),
        pytest.param(["198.51.100.1", ""], id="empty line at the end"),
        pytest.param(["_hidden"], id="obfuscated, RFC 7239 section 6.3"),
        pytest.param(["unix:"], id="a local socket"),
        pytest.param(["for=203.0.113.9"], id="another header's form"),
        pytest.param(['"203.0.113.9"'], id="quoted"),
        pytest.param(["203.0.113.9:http"], id="port with a name"),
        pytest.param(["203.0.113.9:"], id="no port"),
        pytest.param(["203.0.113.9:_port"], id="obfuscated port"),
        pytest.param(["[2001:db8::1]x"], id="behind the bracket"),
        pytest.param(["[2001:db8::1"], id="bracket left open"),
        pytest.param(["010.0.0.1"], id="octal"),
        pytest.param(["2130706433"], id="decimal"),
        pytest.param(["203.0.113.9 203.0.113.10"], id="no comma"),
        pytest.param(["10.0.0.2, " * 3000 + "rubbish, 10.0.0.2"], id="a long list"),
    ],
)
def test_a_client_that_is_hidden_is_unknown(forwarded_for):
    """It doesn't get the rights of the proxy that hides it."""
    with pytest.raises(ValueError, match="does not appear to be"):
        forwarded_client(parse_address("127.0.0.1"), forwarded_for, PROXIES)
