"""What a pretended model says: deterministic text, cut into word pieces that stand for tokens."""

import hashlib
import re
import zlib

_PIECE = re.compile(r"\s*\w{1,8}|\s*[^\w\s]|\s+")
"""Every character belongs to exactly one piece, so that the pieces of a text add up to it."""

_WORDS_WANTED = re.compile(r"\b(\d{1,5}) words\b")

_COUNTED_CHARACTERS = 1_000_000

_QUOTED_CHARACTERS = 200

_SENTENCES = (
    "No model was asked and no electricity was spent on a thought.",
    "Its words are chosen by the letters of the question, so the same question gets the same answer.",
    "Everything around it is meant to be real: the stream, the pace, the number of tokens.",
    "A gateway in front of it can't tell the difference, which is the point.",
    "If the answer stops early, somebody set a limit or hung up.",
    "The sun rises in the east, water is wet, and this sentence knows nothing else.",
    "Counting to ten takes a machine no time at all; pretending to think takes a little longer.",
    "Ask for 300 words and it will go on for 300 words.",
)


def pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def count_pieces(text: str) -> int:
    """Exact up to a million characters, extrapolated beyond: counting on would stall the event loop."""
    counted = len(_PIECE.findall(text[:_COUNTED_CHARACTERS]))
    return round(counted * max(1.0, len(text) / _COUNTED_CHARACTERS))


def piece_ids(text: str) -> list[int]:
    """One number a piece, as a tokenizer would give; the same piece always has the same number."""
    return [zlib.crc32(piece.encode()) % 150_000 for piece in pieces(text)]


def answer(
    model_name: str, prompt_text: str, *, request: str | None = None, tool_result: str | None = None
) -> str:
    """Some sentences, or as many words as the request asks for in figures ("in 300 words").

    Without a request the prompt is one. What a tool gave is quoted, so that a person sees that it arrived.
    """
    digest = hashlib.blake2b(prompt_text.encode(errors="replace")).digest()
    asked = prompt_text if request is None else request
    wanted = _WORDS_WANTED.findall(asked[-_COUNTED_CHARACTERS:])
    words_wanted = int(wanted[-1]) if wanted else 0
    sentences = 2 + digest[0] % 5
    # With an odd stride through eight sentences each is said once before any is said again.
    place, stride = digest[1], digest[2] | 1
    words = f"This is a simulated answer from {model_name}.".split()
    if tool_result is not None:
        words += f'The tool gave "{" ".join(tool_result.split())[:_QUOTED_CHARACTERS]}".'.split(" ")
    while sentences > 0 or len(words) < words_wanted:
        words += _SENTENCES[place % len(_SENTENCES)].split()
        place += stride
        sentences -= 1
    return " ".join(words[:words_wanted] if words_wanted else words)
