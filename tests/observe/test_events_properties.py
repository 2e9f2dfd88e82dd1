"""What a reader of /debug/stream receives, whatever the events contain."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from aiohttp_sse import EventSourceResponse
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.boxes.log.events import DebugLog, sampling_params
from lmgateway.observe.event_stream import Events
from lmgateway.observe.events import ErrorEvent, Event, InferenceStart
from lmgateway.web.debug import _send_events
from tests.support.properties import checked

odd = st.sampled_from(["\n", "\r", "\r\n", "\n\n", "\ndata: {}", "\nevent: forged\n\n", "\x00", "\u2028"])
names = st.sampled_from(["top_k", "name", "timestamps", "min-p.x"])
texts = st.lists(odd | st.text(max_size=6), max_size=6).map("".join)
events = (
    st.builds(DebugLog, level=texts, message=texts, raw=texts, timestamp=texts)
    | st.builds(ErrorEvent, operation=texts, model_key=texts, error=texts, total_time_ms=st.integers(0, 9))
    | st.builds(
        InferenceStart,
        request_id=texts,
        method=texts,
        path=texts,
        model=st.none() | texts,
        client=texts,
        key=texts,
    )
    | st.dictionaries(names, st.floats(0, 1), max_size=3).map(sampling_params)
)


class Written(EventSourceResponse):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__(sep="\n")
        self.data = b""

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        self.data += bytes(data)


def received(stream: bytes) -> list[tuple[str, str, str]]:
    """What a browser would dispatch: id, name and data. HTML standard, section 9.2.6."""
    dispatched, fields, data = [], {"id": "", "event": ""}, list[str]()
    lines = re.split("\r\n|\r|\n", stream.decode())
    assert lines.pop() == ""
    for line in lines:
        name, _, value = line.partition(":")
        if line == "" and data:
            dispatched.append((fields["id"], fields["event"], "\n".join(data)))
            fields["event"], data = "", []
        elif name == "data":
            data.append(value.removeprefix(" "))
        elif name in fields:
            fields[name] = value.removeprefix(" ")
        else:
            assert line == ""
    assert not data
    return dispatched


@checked
@given(st.lists(events, max_size=5))
async def test_each_event_is_one_message_whatever_it_contains(published: list[Event]) -> None:
    """No text begins a line of its own, and all of it is decoded unchanged."""
    fan_out, response = Events(), Written()
    with fan_out.subscribe() as subscription:
        for event in published:
            fan_out.publish(event)
        fan_out.close()
        await _send_events(response, subscription)
    (_, first, _), *messages = received(response.data)
    assert first == "connected"
    assert [(number, name) for number, name, _ in messages] == [
        (str(number), event.name) for number, event in enumerate(published, 1)
    ]
    decoded: list[Any] = [json.loads(data) for _, _, data in messages]
    assert decoded == [msgspec.to_builtins(event) for event in published]
