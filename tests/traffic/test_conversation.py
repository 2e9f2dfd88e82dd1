"""The digest of a conversation's beginning: the same for each turn, another for each conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmgateway.traffic.conversation import MAX_MESSAGES, MAX_PARTS, WINDOWS_BYTES, beginning
from lmgateway.traffic.dialects import DIALECTS
from lmgateway.traffic.long_body import LongBody
from lmgateway.traffic.members import MemberScan
from lmgateway.traffic.rewrite import WANTED, Body, decode_long
from lmgateway.traffic.short_body import ShortBody
from tests.support.properties import checked, odd_texts

CHAT, V0_CHAT, COMPLETIONS = "/v1/chat/completions", "/api/v0/chat/completions", "/v1/completions"
MESSAGES, RESPONSES, NATIVE = "/v1/messages", "/v1/responses", "/api/v1/chat"

SYSTEM = {"role": "system", "content": "Be short."}
SKY = {"role": "user", "content": "Why is the sky blue?"}
BECAUSE = {"role": "assistant", "content": "Light scatters."}
MORE = {"role": "user", "content": "And at night?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
MARK = {"cache_control": {"type": "ephemeral"}}
LONG = 10 * WINDOWS_BYTES[-1]


def long_bodies(text: bytes) -> list[Body]:
    """The two kinds of long body of these bytes."""
    scan = MemberScan(text, WANTED)
    while scan.step():
        pass
    decoded = decode_long(text, lambda _name: False)
    return [LongBody.scanned(text, scan), *([] if decoded is None else [decoded])]


def digest_of(path: str, members: dict[str, Any] | bytes) -> bytes | None:
    """The digest, which is the same for each kind of body."""
    text = members if isinstance(members, bytes) else json.dumps({"model": "m", **members}).encode()
    found = {beginning(body, DIALECTS[path]) for body in (ShortBody.decoded(text), *long_bodies(text))}
    assert len(found) == 1
    digest = found.pop()
    assert digest is None or len(digest) == 16
    return digest


def text(value: str, **more: object) -> dict[str, object]:
    return {"type": "text", "text": value, **more}


SAME = {
    "the next turn": (CHAT, {"messages": [SYSTEM, SKY]}, {"messages": [SYSTEM, SKY, BECAUSE, MORE]}),
    "v0": (V0_CHAT, {"messages": [SKY]}, {"messages": [SKY, BECAUSE, MORE]}),
    "a developer's message": (
        CHAT,
        {"messages": [{"role": "developer", "content": "Be short."}, SKY]},
        {"messages": [{"role": "developer", "content": "Be short."}, SKY, BECAUSE]},
    ),
    "a part as a string": (
        CHAT,
        {"messages": [{"role": "user", "content": [text("Why is the sky blue?")]}]},
        {"messages": [SKY, BECAUSE, MORE]},
    ),
    "an image": (
        CHAT,
        {"messages": [{"role": "user", "content": [text("What is it?"), IMAGE]}]},
        {"messages": [{"role": "user", "content": [text("What is it?"), IMAGE]}, BECAUSE, MORE]},
    ),
    "an image longer than any window": (
        CHAT,
        {"messages": [SYSTEM, {"role": "user", "content": [{**IMAGE, "x": "A" * LONG}]}]},
        {"messages": [SYSTEM, {"role": "user", "content": [{**IMAGE, "x": "A" * LONG}]}, BECAUSE, MORE]},
    ),
    "a first message longer than the first window": (
        CHAT,
        {"messages": [{"role": "user", "content": "é" * WINDOWS_BYTES[0]}]},
        {"messages": [{"role": "user", "content": "é" * WINDOWS_BYTES[0]}, BECAUSE, MORE]},
    ),
    "a long next turn": (
        CHAT,
        {"messages": [SKY]},
        {"messages": [SKY, {"role": "assistant", "content": "é" * LONG}, MORE]},
    ),
    "another temperature": (CHAT, {"messages": [SKY]}, {"messages": [SKY], "temperature": 0.5}),
    "Anthropic's mark is only on the newest message": (
        MESSAGES,
        {
            "system": [text("Be short.", **MARK)],
            "messages": [{"role": "user", "content": [text("Why is the sky blue?", **MARK)]}],
        },
        {"system": "Be short.", "messages": [SKY, BECAUSE, {**MORE, "content": [text("And?", **MARK)]}]},
    ),
    "an item with a type, and one without": (
        RESPONSES,
        {"instructions": "Be short.", "input": [SKY]},
        {"instructions": "Be short.", "input": [{"type": "message", **SKY}, BECAUSE, MORE]},
    ),
    "a string becomes an item": (
        RESPONSES,
        {"input": "Why is the sky blue?"},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Why is the sky blue?"}]},
                BECAUSE,
            ]
        },
    ),
    "no instructions, and empty ones": (
        RESPONSES,
        {"input": [SKY], "instructions": None},
        {"input": [SKY], "instructions": ""},
    ),
    "LM Studio's own parts": (
        NATIVE,
        {"input": [{"type": "image", "data_url": "data:,"}, {"type": "text", "content": "What is it?"}]},
        {
            "input": [
                {"type": "image", "data_url": "data:,"},
                {"type": "message", "content": "What is it?"},
                {"type": "message", "content": "And?"},
            ]
        },
    ),
    "LM Studio's own string": (
        NATIVE,
        {"system_prompt": "Be short.", "input": "Why is the sky blue?"},
        {"system_prompt": "Be short.", "input": [{"type": "message", "content": "Why is the sky blue?"}]},
    ),
    "the first 1,024 bytes of a prompt": (
        COMPLETIONS,
        {"prompt": "x" * 1023},
        {"prompt": "x" * 1023 + "y"},
    ),
    "a bare message": (CHAT, {"messages": [{"role": "user"}]}, {"messages": [{"role": "user"}, MORE]}),
    "half an emoji": (
        CHAT,
        {"messages": [{"role": "user", "content": "\ud83d"}]},
        {"messages": [{"role": "user", "content": "\ud83d"}, BECAUSE]},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_each_turn_has_the_digest_of_the_first(name: str) -> None:
    path, first, later = SAME[name]
    digest = digest_of(path, first)
    assert digest is not None
    assert digest_of(path, later) == digest


OTHERS: list[dict[str, Any]] = [
    {"messages": [SYSTEM, {**SKY, "content": "Why is the sky blue"}]},
    {"messages": [SYSTEM, MORE, SKY]},
    {"messages": [{**SYSTEM, "content": "Be long."}, SKY]},
    {"messages": [{**SYSTEM, "role": "developer"}, SKY]},
    {"messages": [SKY]},
    {"messages": [SYSTEM, SYSTEM, SKY]},
    {"messages": [SYSTEM, BECAUSE, SKY]},
    {"messages": [SYSTEM, {**SKY, "content": [text("Why is the sky"), text(" blue?")]}]},
    {"messages": [SYSTEM, {**SKY, "content": [text("Why is the sky blue?"), IMAGE]}]},
    {"messages": [SYSTEM, {**SKY, "content": [IMAGE, text("Why is the sky blue?")]}]},
    {"messages": [SYSTEM, {**SKY, "content": {"text": "Why is the sky blue?"}}]},
    {"messages": [SYSTEM, {**SKY, "content": None}]},
    {"messages": [SYSTEM, {**SKY, "content": [{"type": [], "text": "Why is the sky blue?"}]}]},
    {"messages": [{"role": [], "content": "Be short."}, SKY]},
    {"messages": [SYSTEM, {**SKY, "content": "A" * LONG}]},
    {"messages": [SYSTEM, {**SKY, "content": "B" * LONG}]},
]


def test_other_beginnings_have_other_digests() -> None:
    digests = [digest_of(CHAT, members) for members in ({"messages": [SYSTEM, SKY]}, *OTHERS)]
    assert None not in digests
    assert len(set(digests)) == len(digests)


def test_instructions_count() -> None:
    """Of each API, whatever they are called there, also if they are longer than any window."""
    for path, name, messages in (
        (MESSAGES, "system", {"messages": [SKY]}),
        (RESPONSES, "instructions", {"input": "Hello"}),
        (NATIVE, "system_prompt", {"input": "Hello"}),
    ):
        all_instructions = ("Be short.", "Be long.", "x" * LONG, "y" * LONG)
        digests = {digest_of(path, {**messages, name: words}) for words in all_instructions}
        digests.add(digest_of(path, messages))
        assert len(digests - {None}) == 5


def test_long_instructions_hide_no_conversation() -> None:
    """Agents send the same 60 KB before each of their conversations."""
    agent = {"role": "system", "content": "Use the tools.\n" * 4000}
    assert digest_of(CHAT, {"messages": [agent, SKY]}) != digest_of(CHAT, {"messages": [agent, MORE]})


@pytest.mark.parametrize(
    ("path", "members"),
    [
        (CHAT, {}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": [SYSTEM, BECAUSE]}),
        (CHAT, {"messages": [1, SKY]}),
        (CHAT, {"messages": {"role": "user"}}),
        (CHAT, {"messages": None}),
        (CHAT, {"messages": [SYSTEM] * MAX_MESSAGES + [SKY]}),
        (CHAT, b'{"messages":[{"role":"user","content":%s}]}' % (b"9" * 5000)),
        (CHAT, b"[]"),
        (CHAT, b"no JSON"),
        (MESSAGES, {"system": "Be short."}),
        (RESPONSES, {"input": 1}),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "x"}]}),
        (RESPONSES, {"input": [SKY], "previous_response_id": "resp_1"}),
        (NATIVE, {"input": [{"type": "image", "data_url": "data:,"}]}),
        (NATIVE, {"input": "Hello", "previous_response_id": "resp_1"}),
        (COMPLETIONS, {}),
        ("/v1/embeddings", {"input": "Hello"}),
        ("/v1/messages/count_tokens", {"messages": [SKY]}),
    ],
)
def test_what_begins_no_conversation_has_no_digest(path: str, members: dict[str, Any] | bytes) -> None:
    assert digest_of(path, members) is None


def test_as_many_messages_and_parts_count_as_take_little_time() -> None:
    """A beginning of up to 100 messages, and 100 parts of each message."""
    assert digest_of(CHAT, {"messages": [SYSTEM] * (MAX_MESSAGES - 1) + [SKY]}) is not None
    first, other = (
        digest_of(CHAT, {"messages": [{"role": "user", "content": [*map(text, "x" * MAX_PARTS), text(end)]}]})
        for end in "yz"
    )
    assert first == other is not None


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | odd_texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(odd_texts, inner), max_leaves=6
)
contents = odd_texts | st.lists(odd_texts.map(text) | st.just(IMAGE) | values, max_size=4)
users = st.fixed_dictionaries({"role": st.just("user"), "content": contents})
others = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "developer", "assistant", "tool"]), "content": contents}
)
spellings = st.fixed_dictionaries(
    {"indent": st.sampled_from([None, 1]), "sort_keys": st.booleans(), "separators": st.just((" ,", ": "))}
)
LISTS = st.sampled_from([(CHAT, "messages"), (MESSAGES, "messages"), (RESPONSES, "input")])


@checked
@given(LISTS, st.lists(others, max_size=3), users, st.lists(users | others, max_size=5), spellings)
def test_more_messages_never_change_it(
    place: tuple[str, str],
    before: list[dict[str, Any]],
    user: dict[str, Any],
    later: list[dict[str, Any]],
    spelling: dict[str, Any],
) -> None:
    """Also in another spelling."""
    path, name = place
    first = digest_of(path, {name: [*before, user]})
    again = json.dumps({"model": "m", name: [*before, user, *later]}, **spelling).encode()
    assert digest_of(path, again) == first is not None


@checked
@given(LISTS, st.lists(others, max_size=3), users, users)
def test_another_first_message_of_the_user_changes_it(
    place: tuple[str, str], before: list[dict[str, Any]], user: dict[str, Any], other: dict[str, Any]
) -> None:
    path, name = place
    first, second = (digest_of(path, {name: [*before, message]}) for message in (user, other))
    assert (first == second) == (meaning(user["content"]) == meaning(other["content"]))


def meaning(content: Any) -> list[str]:
    """The content in one spelling: a string is one part."""
    parts = [text(content)] if isinstance(content, str) else content
    return [json.dumps(text(part) if isinstance(part, str) else part, sort_keys=True) for part in parts]
