"""The bytes of text in a body: images and other base64 fill no context as text does."""

from __future__ import annotations

import base64
import json
import random
import time

import pytest

from lmgateway.traffic.prompt_size import WINDOW_BYTES, PromptScan
from lmgateway.traffic.short_body import ShortBody
from lmgateway.turns import Turns
from lmgateway.web.reading import prompt_bytes
from tests.support.turns import longest_turn

IMAGE = base64.b64encode(random.Random(1).randbytes(900)).decode()
URL = f"data:image/png;base64,{IMAGE}"
MEGABYTE = 1024**2


def text_bytes(text: bytes) -> int:
    scan = PromptScan(text)
    while scan.step():
        pass
    return scan.text_bytes


def messages(*content: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": content}]}).encode()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": {"detail": "low", "url": URL}},
        {"type": "input_image", "image_url": URL},
        {"type": "image", "data_url": URL},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{IMAGE}"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
        {"type": "image", "source": {"data": IMAGE, "type": "base64"}},
        {"type": "input_audio", "input_audio": {"data": IMAGE, "format": "wav"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;charset=utf-8;base64,{IMAGE}"}},
    ],
)
def test_the_base64_of_each_api_is_not_text(part: dict[str, object]) -> None:
    """Whatever spaces are around it, and with slashes as some encoders write them."""
    text = {"type": "text", "text": "What is this?"}
    body = messages(text, part, text, part)
    assert text_bytes(body) == len(body) - 2 * len(IMAGE)
    compact = json.dumps(json.loads(body), separators=(",", ":")).encode()
    assert text_bytes(compact) == len(compact) - 2 * len(IMAGE)
    indented = json.dumps(json.loads(body), indent=1).replace('":', '" :  ').encode()
    assert text_bytes(indented) == len(indented) - 2 * len(IMAGE)
    escaped = body.replace(b"/", b"\\/")
    assert text_bytes(escaped) == len(escaped) - 2 * len(IMAGE.replace("/", "\\/"))


@pytest.mark.parametrize(
    "part",
    [
        "a" * 100_000,
        URL,
        {"type": "text", "text": URL},
        {"type": "text", "text": json.dumps({"url": URL})},
        {"type": "text", "text": json.dumps({"data": IMAGE})},
        {"type": "text", "text": f"![]({URL})"},
        {"type": "input_audio", "data": IMAGE[:255]},
        {"type": "input_audio", "data": IMAGE[:200] + "*" + IMAGE[:200]},
        {"type": "image_url", "image_url": {"url": f"https://example.com/{IMAGE}"}},
        {"type": "image_url", "image_url": {"url": f"data:image/svg+xml,{IMAGE}"}},
        {"type": "tool_use", "input": {"data": "a few words " * 1000}},
    ],
)
def test_what_a_model_reads_is_text(part: object) -> None:
    """However much it looks like base64: who could hide text so would fill the context of all."""
    body = messages(part)
    assert text_bytes(body) == len(body)


def test_text_behind_base64_is_text() -> None:
    """A string is base64 as long as it consists of its characters."""
    body = messages({"type": "image", "data": IMAGE + " and a few words"})
    assert text_bytes(body) == len(body) - len(IMAGE)


def test_base64_is_found_wherever_a_window_ends() -> None:
    """Long bodies are read in windows."""
    part = b'"image_url":{"url":"%s"}' % URL.encode()
    for before in range(WINDOW_BYTES - 1400, WINDOW_BYTES + 30, 7):
        body = b"x" * before + part + b"y" * 100
        assert text_bytes(body) == len(body) - len(IMAGE), before
    for length in (WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES + 1, 3 * WINDOW_BYTES):
        body = b'{"data":"%s"}' % (b"A" * length)
        assert text_bytes(body) == len(b'{"data":""}')


@pytest.mark.parametrize(
    "unit",
    [
        b'"data',
        b'"data:;",',
        b'"data:;base64,;base64,",',
        b'"data":"A",',
        b'\\"data:',
        b'"data"' + b" " * 9,
        b'"data":"' + b"A" * 255 + b'",',
        b'"data":"' + b"A" * 256 + b'",',
        b'"url":"data:;base64,' + b"A" * 256 + b'",',
        b'"' * 100,
    ],
)
async def test_no_text_blocks_the_event_loop(unit: bytes) -> None:
    """4 MB of the worst: a piece at a time, and 100 ms at most for a megabyte."""
    text = unit * (4 * MEGABYTE // len(unit))
    began = time.thread_time()
    async with longest_turn() as longest:
        await prompt_bytes(ShortBody(text, None, text), Turns())
    assert longest.seconds < 0.02
    assert time.thread_time() - began < 4 * 0.1 * 2
