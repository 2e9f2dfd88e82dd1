"""LM Studio's messages to its SDK, honest or damaged; the sockets that they are sent on are fine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal

from tests.hostile_studio import documents
from tests.hostile_studio.values import SECRET, damaged, odd_value
from tests.hostile_studio.websocket import frame

# What a connection does after some bytes.
Then = Literal["go on", "close", "reset", "silence"]
# What is damaged: the gateway's own requests over HTTP, or a part of the conversation with the SDK.
Stage = Literal["listing", "greeting", "upgrade", "authentication", "message", "socket", "load"]
STAGES: tuple[Stage, ...] = (
    *("listing", "greeting", "upgrade", "authentication"),
    *("message", "message", "socket", "load", "load"),
)
PROGRESSES = 2000

Message = dict[str, Any]


def replies(request: Message, namespace: str) -> list[Message]:
    """Return what LM Studio sends after a call, or after the creation of a channel."""
    if request.get("type") == "rpcCall":
        return [_result(request, namespace)]
    if request.get("type") != "channelCreate":
        return []
    parameter = request.get("creationParameter") or {}
    entry = documents.downloaded()[namespace == "embedding"]
    identifier = parameter.get("identifier") or parameter.get("modelKey")
    info = documents.instance(entry, str(identifier))
    contents = [
        {"type": "resolved", "info": entry},
        *({"type": "progress", "progress": fraction} for fraction in (0.0, 0.5, 1.0)),
        {"type": "success", "info": info},
    ]
    place = {"channelId": request["channelId"]}
    return [
        *({"type": "channelSend", **place, "message": content} for content in contents),
        {"type": "channelClose", **place},
    ]


def _result(request: Message, namespace: str) -> Message:
    answer = {"type": "rpcResult", "callId": request["callId"]}
    match request.get("endpoint"):
        case "listDownloadedModels":
            return {**answer, "result": documents.downloaded()}
        case "listLoaded":
            return {**answer, "result": documents.loaded(namespace)}
        case "getLoadConfig":
            return {**answer, "result": documents.load_config()}
        case "getInstanceProcessingState":
            return {**answer, "result": {"status": "generating", "queued": 1}}
        case "version":
            return {**answer, "result": {"version": "0.3.36", "build": "1"}}
    return answer


def encoded(messages: list[Message]) -> Iterator[tuple[bytes, Then]]:
    for message in messages:
        yield frame(json.dumps(message).encode()), "go on"


def damaged_replies(
    chance: Random, request: Message, messages: list[Message]
) -> Iterator[tuple[bytes, Then]]:
    """Yield the replies with something wrong in what they say. The socket stays what it is."""
    is_load = request.get("type") == "channelCreate"
    if chance.random() < 0.15:
        place = {"channelId": request["channelId"]} if is_load else {"callId": request["callId"]}
        kind = "channelError" if is_load else "rpcError"
        messages = [{"type": kind, **place, "error": documents.sdk_error()}]
    if is_load and chance.random() < 0.6:
        for payload in odd_load(chance, request, messages):
            yield frame(payload), "go on"
        if chance.random() < 0.1:
            yield b"", "close"
        return
    spoiled = chance.randrange(len(messages)) if messages else -1
    for place, message in enumerate(messages):
        if chance.random() < 0.1:
            yield frame(unknown(chance)), "go on"
        if place != spoiled:
            yield frame(json.dumps(message).encode()), "go on"
        else:
            yield frame(_spoiled(chance, message)), "go on"
            if chance.random() < 0.1:
                yield frame(json.dumps(message).encode()), "go on"


def _spoiled(chance: Random, message: Message) -> bytes:
    """Damage what a message holds, mostly; sometimes the message itself."""
    for name in ("result", "error", "message"):
        content = message.get(name)
        if content and chance.random() < 0.85:
            inner = damaged(chance, content)
            return json.dumps({**message, name: "@inner"}).encode().replace(b'"@inner"', inner)
    return damaged(chance, message)


def unknown(chance: Random) -> bytes:
    """A message that no request asked for."""
    warning = {"type": "communicationWarning", "warning": f"{SECRET} \ud83d", "kind": 1}
    known = chance.choice((warning, {"type": "keepAliveAck"}, {"type": "x", "channelId": 1}))
    ids = (b"999999", b"-1", b"0", b'"1"', b"1.0", b"true", b"null", b"[]", b"{}", b"1e400", b"9" * 400)
    for_nobody = (
        b'{"type":"rpcResult","callId":%s,"result":[]}' % chance.choice(ids),
        b'{"type":"channelSend","channelId":%s,"message":{"type":"progress","progress":1}}'
        % chance.choice(ids),
        b'{"type":"rpcError","callId":%s,"error":{}}' % chance.choice(ids),
    )
    odd = (b"null", b"[]", damaged(chance, known), odd_value(chance))
    return chance.choice((json.dumps(known).encode(), *for_nobody, *odd))


def odd_load(chance: Random, request: Message, messages: list[Message]) -> Iterator[bytes]:
    """Yield the messages of a load that doesn't go as loads do."""
    place = b'"channelId":%d' % request["channelId"]
    honest = [json.dumps(message).encode() for message in messages]
    yield honest[0]
    if chance.random() < 0.2:
        yield from honest[1:] * 2
    else:
        yield from chance.choice(_LOAD_DAMAGES)(chance, place)
    if chance.random() < 0.8:
        yield from honest[1:]


def _sent(place: bytes, content: bytes) -> bytes:
    return b'{"type":"channelSend",%s,"message":%s}' % (place, content)


def _progress(place: bytes, value: bytes) -> bytes:
    return _sent(place, b'{"type":"progress","progress":%s}' % value)


def _odd_progress(chance: Random, place: bytes) -> Iterator[bytes]:
    return (_progress(place, odd_value(chance)) for _ in range(chance.choice((1, 3, 20))))


def _jumping_progress(_chance: Random, place: bytes) -> Iterator[bytes]:
    values = (b"-5", b"0.9", b"0.1", b"1.5", b"NaN", b"1e308", b"2")
    return (_progress(place, value) for value in values)


def _endless_progress(_chance: Random, place: bytes) -> Iterator[bytes]:
    """Always more, never all of it."""
    return (_progress(place, b"%.12f" % (number / PROGRESSES)) for number in range(PROGRESSES))


def _unknown_messages(chance: Random, place: bytes) -> Iterator[bytes]:
    yield from (_sent(place, odd_value(chance)) for _ in range(3))
    yield from (_sent(place, b'{"type":"%s-%d"}' % (SECRET.encode(), number)) for number in range(20))


def _odd_success(chance: Random, place: bytes) -> Iterator[bytes]:
    info = damaged(chance, documents.instance(documents.downloaded()[0], "odd"))
    yield _sent(place, b'{"type":"success","info":%s}' % info)


def _early_close(_chance: Random, place: bytes) -> Iterator[bytes]:
    yield b'{"type":"channelClose",%s}' % place


def _odd_error(chance: Random, place: bytes) -> Iterator[bytes]:
    yield b'{"type":"channelError",%s,"error":%s}' % (place, odd_value(chance))


_LOAD_DAMAGES: tuple[Callable[[Random, bytes], Iterator[bytes]], ...] = (
    *(_odd_progress, _odd_progress, _jumping_progress, _endless_progress, _unknown_messages),
    *(_odd_success, _odd_success, _early_close, _odd_error),
)
