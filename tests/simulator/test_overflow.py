"""Prompts and answers that are longer than the context, in the shapes that LM Studio gives them."""

import aiohttp
import lmstudio
import pytest

from lmgateway.simulator import Simulator, Switches
from lmgateway.simulator.engine.load_order import LoadOrder

from .conftest import LLM, ask

CONTEXT = 64
LONG = " ".join(["a"] * CONTEXT)
FITS_NOT = (
    "Input does not fit in context length. The input has {} tokens, but the context length only supports 64 "
    "tokens."
)
N_KEEP = (
    "The number of tokens to keep from the initial prompt is greater than the context length "
    "(n_keep: {}>= n_ctx: 64). Try to load the model with a larger context length, or provide a shorter "
    "input."
)
OLDER = (
    "Trying to keep the first {} tokens when context the overflows. However, the model is loaded with "
    "context length of only 64 tokens, which is not enough. Try to load the model with a larger context "
    "length, or provide a shorter input. Error Data: n/a, Additional Data: n/a"
)
EVENT = 'event: error\ndata: {{"error":{{"message":"{0}"}},"message":"{0}"}}\n\n'
"""The whole body of a stream on OpenAI's older endpoints."""


@pytest.fixture(autouse=True)
def short(simulator: Simulator) -> None:
    load(simulator, LLM)


def load(simulator: Simulator, key: str) -> None:
    order = LoadOrder(model=simulator.on_disk(key), settings={"llm.load.contextLength": CONTEXT})
    with simulator.memory.loading(order) as load:
        simulator.memory.place(load)


async def post(http: aiohttp.ClientSession, path: str, **more: object) -> tuple[int, str, object]:
    """Return the status, the text, and the decoded text of an answer that is JSON."""
    body = {**ask(LONG), "prompt": LONG, "input": LONG, **more}
    async with http.post(path, json=body) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.text(), await response.json() if is_json else None


def tokens(path: str) -> int:
    """The words of the prompt, and the name of the role and a colon, which endpoints without roles lack."""
    return CONTEXT + (0 if path.endswith("/completions") and "chat" not in path else 2)


OLDER_PATHS = ["/v1/chat/completions", "/v1/completions", "/api/v0/chat/completions"]


@pytest.mark.parametrize("path", OLDER_PATHS)
async def test_streams_get_an_event_under_200(http: aiohttp.ClientSession, path: str):
    """The status is a success, and the only event has the text twice."""
    status, text, _ = await post(http, path, stream=True)
    assert status == 200
    assert text == EVENT.format(FITS_NOT.format(tokens(path)))


@pytest.mark.parametrize("path", OLDER_PATHS)
async def test_other_answers_are_a_bare_string(simulator: Simulator, http: aiohttp.ClientSession, path: str):
    """400 with llama.cpp's text; the switch chooses the older one, and streams are refused too."""
    expected = {"error": N_KEEP.format(tokens(path))}
    status, _, body = await post(http, path)
    assert (status, body) == (400, expected)
    for overflow, text in (("refuse", N_KEEP), ("refuse_old", OLDER)):
        simulator.switches = Switches(overflow=overflow)
        status, _, body = await post(http, path, stream=True)
        assert (status, body) == (400, {"error": text.format(tokens(path))})


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_are_a_server_error(http: aiohttp.ClientSession, stream: bool):
    """500, which clients retry, whether or not it is a stream."""
    status, _, body = await post(http, "/v1/messages", stream=stream, max_tokens=5)
    error = {"type": "api_error", "message": FITS_NOT.format(CONTEXT + 2)}
    assert (status, body) == (500, {"type": "error", "error": error})


async def test_other_apis_have_their_own_objects(http: aiohttp.ClientSession):
    """/v1/responses has OpenAI's object, and /api/v1/chat LM Studio's."""
    text = N_KEEP.format(CONTEXT + 2)
    status, _, body = await post(http, "/v1/responses")
    error = {"message": text, "type": "invalid_request_error", "param": None, "code": None}
    assert (status, body) == (400, {"error": error})
    status, _, body = await post(http, "/api/v1/chat")
    assert status == 400
    assert body["error"]["message"] == text
    _, text, _ = await post(http, "/api/v1/chat", stream=True)
    assert FITS_NOT.format(CONTEXT + 2) in text.split("\n\n")[-2]


async def test_an_empty_success(simulator: Simulator, http: aiohttp.ClientSession):
    """Some engines end well without a delta, and with usage."""
    simulator.switches = Switches(overflow="empty")
    options = {"include_usage": True}
    status, text, _ = await post(http, "/v1/chat/completions", stream=True, stream_options=options)
    assert status == 200
    assert '"content"' not in text
    assert f'"prompt_tokens":{CONTEXT + 2},"completion_tokens":0' in text
    assert text.endswith("data: [DONE]\n\n")
    status, _, body = await post(http, "/v1/chat/completions")
    assert (status, body["choices"][0]["message"]["content"]) == (200, "")


async def test_an_answer_fills_the_context(simulator: Simulator, http: aiohttp.ClientSession):
    """Usually the context is shifted; an engine that can't do it fails after the deltas before."""
    question = ask("Tell me 90 words.", stream=True)
    _, text, _ = await post(http, "/v1/chat/completions", **question)
    assert text.endswith("data: [DONE]\n\n")
    reached = (
        "Reached context length of 64 tokens with model (arch: qwen2) that does not currently support "
        "mid-generation context overflow"
    )
    for overflow, sentence in (
        ("mid_generation", reached),
        ("mid_generation_mlx", "Context size has been exceeded."),
    ):
        simulator.switches = Switches(overflow=overflow)
        _, text, _ = await post(http, "/v1/chat/completions", **question)
        deltas = text.split("\n\n")
        # "user:", then the four words and the full stop of the question.
        assert len(deltas) - 2 == CONTEXT - 7
        assert deltas[-2] + "\n\n" == EVENT.format(sentence)
        status, _, body = await post(http, "/v1/chat/completions", **{**question, "stream": False})
        assert (status, body) == (400, {"error": sentence})


async def test_the_sdk_gets_the_text(sdk: lmstudio.AsyncClient):
    """As an error of its channel."""
    model = await sdk.llm.model(LLM)
    with pytest.raises(lmstudio.LMStudioServerError, match=r"Input does not fit in context length\."):
        await model.respond(LONG)
