"""Which request targets are forwarded, and as what."""

from __future__ import annotations

import pytest

from lmgateway.errors import BadRequest, NotFound
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.traffic.target import parse


@pytest.mark.parametrize(
    ("raw", "forwarded"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/completions", "/v1/completions"),
        ("/models", "/v1/models"),
        ("/models/qwen%2Fqwen3?x=%2f", "/v1/models/qwen%2Fqwen3?x=%2f"),
        ("/models/", "/v1/models/"),
        ("/models?", "/v1/models?"),
        ("/embeddings", "/v1/embeddings"),
        ("/responses/r_1/cancel", "/v1/responses/r_1/cancel"),
        ("/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/images/generations", "/v1/images/generations"),
        ("/audio/transcriptions", "/v1/audio/transcriptions"),
        ("/audio/translations", "/v1/audio/translations"),
        ("http://gateway:8002/v1/models?a=%2f", "/v1/models?a=%2f"),
        ("HTTPS://user:pw@evil.example/models", "/v1/models"),
        ("/v1//models", "/v1/models"),
        ("//v1/models", "/v1/models"),
        ("///v1///models//", "/v1/models/"),
        ("/v1/v1/models", "/v1/models"),
        ("/v1/v1/v1//v1/models", "/v1/models"),
        ("/v1//v1/chat//completions?a=//&b=/v1/v1", "/v1/chat/completions?a=//&b=/v1/v1"),
        ("/chat//completions", "/v1/chat/completions"),
        ("//models//a%2F%2Fb", "/v1/models/a%2F%2Fb"),
        ("/api//v0//models", "/api/v0/models"),
        ("//api/v1/models//load", "/api/v1/models/load"),
        ("/v1/models/v1/v1", "/v1/models/v1/v1"),
        ("/v1/v1x/models", "/v1/v1x/models"),
        ("http://gateway:8002//v1/v1/models", "/v1/models"),
        ("http://evil.example:1//v1/../x", None),
        ("http://evil.example", None),
        ("http://evil.example?/v1/models", None),
    ],
)
def test_another_form_becomes_a_path_below_lm_studio(raw, forwarded):
    """Short paths and whole URLs work, and no URL makes the gateway call the host that it names."""
    try:
        assert parse(raw).raw == forwarded
    except (BadRequest, NotFound):
        assert forwarded is None


@pytest.mark.parametrize("dots", ["..", ".", "%2e%2e", "%2E.", ".%2e", "%2e", "%252e%252e", "%25252e."])
@pytest.mark.parametrize("separator", ["/", "\\", "%2f", "%2F", "%5c", "%5C", "%252f", "%255c"])
@pytest.mark.parametrize("start", ["/v1", "/api/v1/models", "/models", "http://h/v1"])
def test_no_spelling_of_a_dot_segment_leaves_the_api(start, separator, dots):
    """Nothing outside LM Studio's APIs can be reached."""
    for end in ("", f"{separator}x", "?q"):
        with pytest.raises((BadRequest, NotFound)):
            parse(f"{start}/x{separator}{dots}{end}")


@pytest.mark.parametrize("raw", ["", "*", "v1/models", "evil.example:80", "?/v1/models", "\\v1\\models"])
def test_what_is_no_target_is_a_bad_request(raw):
    """The forms of CONNECT and OPTIONS, and no target at all, are refused."""
    with pytest.raises(BadRequest):
        parse(raw)


@pytest.mark.parametrize("raw", ["/v1/models#x", "/v1/models?a#x", "http://h/v1/models#", "/models#"])
def test_a_fragment_is_a_bad_request(raw):
    """It must not be sent, and could end the path for LM Studio but not for the gateway."""
    with pytest.raises(BadRequest):
        parse(raw)


@pytest.mark.parametrize("name", ["admin", "debug", "health"])
@pytest.mark.parametrize(
    "spelling",
    [
        "/v1/{0}",
        "/v1/{0}/",
        "/v1/{0}/x",
        "/v1/{0}?x",
        "/v1//{0}",
        "//v1/{0}",
        "/v1/v1/{0}",
        "/v1/%76%31/{0}/x",
        "/v1/%2f{0}",
        "/v1/{0}%2fx",
        "/v1/{0}%252fx",
        "/v1/{1}",
        "/v1/{2}/x",
        "/v1/{3}",
        "http://h/v1/{1}/x",
        pytest.param("/v1/{0}\\x"),
        pytest.param("/v1/%5c{0}%5Cx"),
    ],
)
def test_the_gateways_own_names_are_not_forwarded(name, spelling):
    """A base URL ending in /v1 with an admin path is a 404 of the gateway's own."""
    with pytest.raises(NotFound):
        parse(
            spelling.format(
                name, name.upper(), f"%{ord(name[0]):x}{name[1:]}", f"%25{ord(name[0]):x}{name[1:]}"
            )
        )


@pytest.mark.parametrize(
    "raw",
    ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/v1/Chat/COMPLETIONS?x",
     "/v1//chat/completions", "//v1/v1/chat//completions", "/chat//completions", "/v1/%63hat/completions", "http://h/v1/chat/completions"],
)  # fmt: skip
def test_every_spelling_is_filled_in_alike(raw):
    """A path that LM Studio's router resolves to chat completions gets the active model."""
    assert parse(raw).path in DIALECTS
