"""Requests that cost the most work for their size, and so might hold up everybody else's."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .wire import PATH, Door

MIB = 1024**2
ADMIN, PASSING = "/admin/models/activate", "/v1/audio/transcriptions"


@dataclass(frozen=True)
class Worst:
    """`request` makes the whole request with a body of about so many bytes, at most `most`."""

    title: str
    request: Callable[[Door, int], bytes]
    most: int = 64 * MIB


def _chat(begin: bytes, piece: bytes, end: bytes) -> Callable[[Door, int], bytes]:
    return _posted(PATH, begin, piece, end)


def _posted(path: str, begin: bytes, piece: bytes, end: bytes) -> Callable[[Door, int], bytes]:
    def request(door: Door, size: int) -> bytes:
        count = (size - len(begin) - len(end)) // len(piece)
        return door.post(begin + piece * count + end, path)

    return request


def _members(door: Door, size: int) -> bytes:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    block = "".join(f'"{letter}":1,' for letter in letters)
    return door.post(b'{%s"z":1}' % (block.encode() * ((size - 9) // len(block))))


def _different_members(door: Door, size: int) -> bytes:
    def members() -> Iterator[str]:
        left, number = size - 10, 0
        while left > 0:
            member = f'"{number:x}":1,'
            left -= len(member)
            number += 1
            yield member

    return door.post(b'{%s"z":1}' % "".join(members()).encode())


def _deep(door: Door, size: int) -> bytes:
    """Nested as deep as is read, again and again."""
    tower = b"[" * 800 + b"]" * 800 + b","
    return _chat(b'{"a":[', tower, b"0]}")(door, size)


def _bomb(door: Door, size: int) -> bytes:
    plain = b'{"a":[%s0]}' % (b"1," * (size // 2 - 8))
    body = gzip.compress(plain, 1)
    return door.post(body).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)


def _small_chunks(door: Door, size: int) -> bytes:
    head = door.post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    return head + b"1\r\n \r\n" * (size // 6) + b"2\r\n{}\r\n0\r\n\r\n"


def _unknown_names(door: Door, size: int) -> bytes:
    count = size // 60
    return door.post(b'{"modelKey":"m"%s}' % b"".join(b',"%050d":[]' % n for n in range(count)), ADMIN)


def _path(door: Door, size: int) -> bytes:
    return door.get("/v1/models/" + "%25" * (min(size, 31_000) // 3))


def _upload(door: Door, size: int) -> bytes:
    return door.post(b"x" * size, PASSING)


CONTROL = Worst("a body that is only passed on", _upload)
WORST = (
    Worst("one long string", _chat(b'{"a":"', b"x", b'"}')),
    Worst("members with the same names", _members),
    Worst("members with different names", _different_members),
    Worst("members whose names have escapes", _chat(b"{", rb'"\u0061b":1,', b'"a":1}')),
    Worst("numbers", _chat(b'{"a":[', b"1,", b"0]}")),
    Worst("small objects", _chat(b'{"a":[', b'{"b":[]},', b"0]}")),
    Worst("brackets, four deep", _chat(b'{"a":[', b"[[[[]]]],", b"0]}")),
    Worst("brackets, 800 deep", _deep),
    Worst("spaces", _chat(b"{", b" ", b"}")),
    Worst("backslashes, no JSON", _chat(b"", b"\\", b"")),
    Worst("a string of backslashes", _chat(b'{"a":"', rb"\\", b'"}')),
    Worst("Windows paths and half a character", _chat(b'{"a":"\\ud83d', rb"C:\\Users\\me\\ ", b'"}')),
    Worst("half characters", _chat(b'{"a":"', rb"\ud83d", b'"}')),
    Worst("a model's name", _chat(b'{"model":"', b"x", b'"}')),
    Worst("stream options", _chat(b'{"stream":true,"stream_options":{', b'"a":1,', b'"a":1}}')),
    Worst("gzip", _bomb),
    Worst("chunks of one byte", _small_chunks, 16 * MIB),
    Worst("admin: a model's name", _posted(ADMIN, b'{"modelKey":"', b"x", b'"}'), MIB - 1024),
    Worst("admin: names that don't exist", _unknown_names, MIB - 1024),
    Worst(
        "admin: a name that doesn't exist", _posted(ADMIN, b'{"modelKey":"m","', b"x", b'":1}'), MIB - 1024
    ),
    Worst("admin: a list of numbers", _posted(ADMIN, b'{"modelKey":[', b"0,", b"0]}"), MIB - 1024),
    Worst(
        "admin: stop strings",
        _posted(ADMIN, b'{"modelKey":"m","type":"llm","defaultInference":{"stopStrings":[', b'"",', b'""]}}'),
        MIB - 1024,
    ),
    Worst("a path of escapes", _path, 31_000),
)
