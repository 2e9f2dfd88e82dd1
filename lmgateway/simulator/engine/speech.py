"""The simulated text: deterministic, and cut into pieces of words that stand for tokens."""

import hashlib
import re
import zlib

_PIECE = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+")
"""Every character belongs to exactly one piece, so that the pieces of a text add up to it."""

_WORD_COUNT = re.compile(r"\b(\d{1,5}) words\b")

_COUNTED_CHARACTERS = 1_000_000

_QUOTED_CHARACTERS = 200

_SENTENCES = (
    "No model was asked and no electricity was spent on a thought.",
    "Its words are chosen by the letters of the question, so the same question gets the same answer.",
    "Everything around it is realistic: the stream, the pace, the number of tokens.",
    "A gateway in front of it can't tell the difference, which is the point.",
    "If the answer stops early, somebody set a limit or hung up.",
    "The sun rises in the east, water is wet, and this sentence knows nothing else.",
    "Counting to ten takes a machine no time at all; pretending to think takes a little longer.",
    "Ask for 300 words and it will go on for 300 words.",
)


def pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def count_pieces(text: str) -> int:
    """Count exactly up to a million characters, and extrapolate beyond, to not block the event loop."""
    counted = len(_PIECE.findall(text[:_COUNTED_CHARACTERS]))
    return round(counted * max(1.0, len(text) / _COUNTED_CHARACTERS))


def piece_ids(text: str) -> list[int]:
    """Return one token id for each piece; the same piece always has the same id."""
    return [zlib.crc32(piece.encode()) % 150_000 for piece in pieces(text)]


def thoughts(request: str | None) -> str:
    """Return what a reasoning model thinks before it answers."""
    words = len((request or "").split())
    return f"The user wrote {words} words. I am simulated, so I think of nothing and answer at once."


def answer(
    model_name: str, prompt_text: str, *, request: str | None = None, tool_result: str | None = None
) -> str:
    """Return some sentences, or as many words as the request names ("in 300 words").

    Without a request, the prompt is used. A tool's result is quoted, to show that it arrived.
    """
    digest = hashlib.blake2b(prompt_text.encode(errors="replace")).digest()
    asked = prompt_text if request is None else request
    numbers = _WORD_COUNT.findall(asked[-_COUNTED_CHARACTERS:])
    word_count = int(numbers[-1]) if numbers else 0
    sentences = 2 + digest[0] % 5
    # An odd stride visits all eight sentences before it repeats one.
    place, stride = digest[1], digest[2] | 1
    words = f"This is a simulated answer from {model_name}.".split()
    if tool_result is not None:
        words += f'The tool gave "{" ".join(tool_result.split())[:_QUOTED_CHARACTERS]}".'.split(" ")
    while sentences > 0 or len(words) < word_count:
        words += _SENTENCES[place % len(_SENTENCES)].split()
        place += stride
        sentences -= 1
    return " ".join(words[:word_count] if word_count else words)
