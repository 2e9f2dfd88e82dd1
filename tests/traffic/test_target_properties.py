"""Request targets in every spelling."""

from __future__ import annotations

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from lmgateway.errors import BadRequest, NotFound
from lmgateway.traffic.target import Target, parse
from tests.support.properties import often

ALLOWED = ("/v1/", "/api/v0/", "/api/v1/")
OWN = ("/v1/admin", "/v1/debug", "/v1/health")
PARTS = (
    *("/", "/", "/", "//", "\\", ".", "..", "/..", "/../", "/./", "...", "v1", "V1", "api", "v0", "models"),
    *("admin", "Debug", "health", "chat/completions", "?", "#", "%", ";", "@", ":", "é", " ", "\x00", "a"),
    *("%2e", "%2E%2e", "%252e%252e", "%25252e", "%2f", "%252F", "%5c", "%255c", "%c0%ae", "%00", "%61dmin"),
    *("%25", "%3f", "%23", "%2e%2e%2f", "\udcff", "http://", "http://other.example", "\u2025", "\uff0e"),
)
STARTS = ("", "", "/v1/", "/v1", "/api/v1/", "/api/v0/models", "/chat/completions", "/models", "//")
STARTS += ("http://other.example/v1/", "HTTPS://u@[::1]:1/models", "file:///v1/")
targets = st.builds(
    lambda start, parts: start + "".join(parts),
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(PARTS), max_size=10),
) | st.text(max_size=20)


def judged(raw: str) -> Target | None:
    """The parsed target, or None if it is refused."""
    try:
        return parse(raw)
    except (BadRequest, NotFound):
        return None


def resolved(path: str) -> str:
    """The path as the URL standard and most routers resolve it."""
    segments: list[str] = []
    for segment in path.replace("\\", "/").split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in {"", "."}:
            segments.append(segment)
    return "/" + "/".join(segments)


@often
@given(targets)
def test_what_is_accepted_stays_below_the_apis_however_often_it_is_decoded(raw: str) -> None:
    target = judged(raw)
    if target is None:
        return
    path = target.raw.partition("?")[0]
    for _ in range(7):
        seen = resolved(path)
        assert f"{seen}/".startswith(ALLOWED)
        # Nor is it one of the gateway's own paths, in any case.
        assert not any(seen.lower() == own or seen.lower().startswith(f"{own}/") for own in OWN)
        path = unquote(path)


@often
@given(targets)
def test_a_forwarded_target_ends_with_the_received_bytes(raw: str) -> None:
    """Only a short path's prefix is added; a URL's authority and doubled parts are removed."""
    target = judged(raw)
    if target is None:
        return
    sent = raw if raw.startswith("/") else "/" + raw.split("/", 3)[3]
    path, mark, query = sent.partition("?")
    path = re.sub("//+", "/", path)
    while path.startswith("/v1/v1/"):
        path = path.removeprefix("/v1")
    assert target.raw in {f"{path}{mark}{query}", f"/v1{path}{mark}{query}"}
    assert target.raw == f"{path}{mark}{query}" or not path.startswith("/v1/")


@often
@given(targets)
def test_parsing_is_idempotent(raw: str) -> None:
    target = judged(raw)
    assert target is None or parse(target.raw) == target


@often
@given(targets)
def test_the_path_is_fully_decoded(raw: str) -> None:
    target = judged(raw)
    if target is not None:
        assert unquote(target.path) == target.path
        assert "//" not in target.path
        assert "\\" not in target.path
        assert target.path == target.path.lower()
