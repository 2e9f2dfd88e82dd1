"""The conversation that a request of Anthropic's API becomes, and how long that takes."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lmstudio._sdk_models import ChatHistoryData, LlmApplyPromptTemplateOpts

from lmgateway.errors import BadRequest, ContentTooLarge
from lmgateway.traffic.anthropic_prompt import parse
from tests.support.processor import processor_seconds
from tests.support.properties import checked, odd_json, odd_texts, often

texts = st.builds(lambda text: {"type": "text", "text": text}, odd_texts)
calls = st.builds(
    lambda name, arguments: {"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments},
    st.text(max_size=9),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text(max_size=3), max_size=2),
)
others = st.sampled_from(
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}},
        {"type": "thinking", "thinking": "Hm.", "signature": "x"},
        {"type": "web_search_tool_result", "tool_use_id": "x", "content": {"error_code": "x"}},
    ]
)
results = st.builds(
    lambda content: {"type": "tool_result", "tool_use_id": "toolu_1", "content": content},
    odd_texts | st.lists(texts | others, max_size=2) | st.none(),
)
turns = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "assistant"]),
    odd_texts | st.lists(texts | calls | results | others, max_size=4),
)
tools = st.builds(
    lambda name, schema: {"name": name, "input_schema": schema},
    st.text(max_size=9),
    st.sampled_from([{}, {"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}]),
)
requests = st.fixed_dictionaries(
    {"messages": st.lists(turns, min_size=1, max_size=4)},
    optional={
        "system": odd_texts | st.lists(texts, max_size=2),
        "tools": st.lists(tools | st.just({"type": "web_search_20250305", "name": "web_search"}), max_size=2),
        "max_tokens": st.integers(),
    },
)


@often
@given(requests)
def test_the_sdk_accepts_every_conversation(request):
    """LM Studio checks what it gets against the schema that the SDK's types are made from."""
    conversation = parse(json.dumps(request).encode())
    msgspec.convert(conversation.history, ChatHistoryData)
    msgspec.convert({"toolDefinitions": conversation.tools}, LlmApplyPromptTemplateOpts)


def test_a_conversation_keeps_its_order():
    """System prompt first; a tool's results before the user's next words."""
    call = {"type": "tool_use", "id": "t1", "name": "date", "input": {"zone": "UTC"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Monday"}]}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A page."}}
    messages = [
        {"role": "user", "content": "Which day?"},
        {"role": "assistant", "content": [{"type": "text", "text": "I look."}, call]},
        {"role": "user", "content": [result, document, {"type": "text", "text": "Well?"}]},
    ]
    body = {"model": "qwen", "system": "Be short.", "messages": messages}
    conversation = parse(b"\xef\xbb\xbf" + json.dumps(body).encode())
    request = {"type": "function", "id": "t1", "name": "date", "arguments": {"zone": "UTC"}}
    assert conversation.model == "qwen"
    assert conversation.history == {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
            {"role": "user", "content": [{"type": "text", "text": "Which day?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "toolCallRequest", "toolCallRequest": request},
                ],
            },
            {
                "role": "tool",
                "content": [{"type": "toolCallResult", "content": "Monday", "toolCallId": "t1"}],
            },
            {
                "role": "user",
                "content": [{"type": "text", "text": "A page."}, {"type": "text", "text": "Well?"}],
            },
        ]
    }


@checked
@given(st.binary() | odd_json.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_a_bad_request(body):
    """Nothing but the gateway's own errors is raised."""
    with pytest.raises(BadRequest):
        parse(body)


BLOCK, CALL = '{"type":"text","text":""}', '{"type":"tool_use","input":{}}'
RESULT = '{"type":"tool_result","content":[]}'


@pytest.mark.parametrize(
    "content",
    [
        f"[{','.join([BLOCK] * 12_000)}]",
        f"[{','.join([CALL] * 12_000)}]",
        f"[{','.join([RESULT] * 12_000)}]",
        f"[{','.join([BLOCK] * 500_000)}]",
        f'"{"x" * 7_000_000}"',
        '[{"type":"image","source":{"data":"%s"}}]' % ("x" * 7_000_000),
        '"%s"' % (r"\ud83d" * 1_000_000),
        '"%s"' % (r"\"" * 700_000),
    ],
)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_no_body_holds_up_other_requests(content, role):
    """Whatever is in it."""
    body = f'{{"messages":[{{"role":"{role}","content":{content}}}]}}'.encode()

    def parse_it():
        with suppress(ContentTooLarge, BadRequest):
            parse(body)

    assert processor_seconds(parse_it) < 0.1
