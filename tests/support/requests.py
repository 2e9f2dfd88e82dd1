"""Requests as bytes."""

from __future__ import annotations

LOCALHOST = b"Host: localhost\r\n"
CHUNKED = b"Transfer-Encoding: chunked"


def request(start: bytes, *lines: bytes, body: bytes = b"", fields: bytes = LOCALHOST) -> bytes:
    """A request with these header lines. The caller frames the body."""
    return b"%s HTTP/1.1\r\n%s%s\r\n%s" % (start, fields, b"".join(line + b"\r\n" for line in lines), body)


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def with_body(start: bytes, body: bytes | None, *lines: bytes, fields: bytes = LOCALHOST) -> bytes:
    """The same, with the body's Content-Length if there is a body."""
    lengths = () if body is None else (sized(body),)
    return request(start, *lines, *lengths, body=body or b"", fields=fields)


def post(path: bytes, body: bytes, *lines: bytes, fields: bytes = LOCALHOST) -> bytes:
    return with_body(b"POST " + path, body, *lines, fields=fields)


def json_post(path: bytes, body: bytes, *lines: bytes, fields: bytes = LOCALHOST) -> bytes:
    return post(path, body, b"Content-Type: application/json", *lines, fields=fields)
