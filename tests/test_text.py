"""Texts that others choose, as they are recorded and shown."""

from __future__ import annotations

import pytest

from lmgateway.text import (
    KEY_CHARACTERS,
    NAME_CHARACTERS,
    PATH_BYTES,
    bounded,
    clean_name,
    clean_path,
    clean_sentence,
    printable,
)

KEY = "the-key-of-somebody"


def redact(text: str) -> str:
    return text.replace(KEY, "****")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("qwen/qwen3-8b", "qwen/qwen3-8b"),
        ("modèle 模型 🙂", "modèle 模型 🙂"),
        ("no\u00a0break\u3000wide", "no\u00a0break\u3000wide"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("a\x1b]0;x\x07\x1b[2J", r"a\x1b]0;x\x07\x1b[2J"),
        ("a\r\nb\tc\x7f\x9b", r"a\r\nb\tc\x7f\x9b"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("gpj\u202eexe\u202c\u2066x\u2069\u200e", r"gpj\u202eexe\u202c\u2066x\u2069\u200e"),
        ("a\ud83d", r"a\ud83d"),
        ("\ufeffa\U000e0041", r"\ufeffa\U000e0041"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Nothing acts on a terminal, everything can be encoded, and other scripts stay."""
    assert printable(text) == shown
    assert printable(shown) == shown
    assert shown.encode()


@pytest.mark.parametrize("length", [NAME_CHARACTERS - 1, NAME_CHARACTERS, NAME_CHARACTERS + 1, 5_000_000])
def test_a_name_is_bounded(length: int) -> None:
    shown = clean_name("x" * length)
    assert shown == ("x" * length if length <= NAME_CHARACTERS else "x" * (NAME_CHARACTERS - 1) + "…")


def test_escapes_count_too() -> None:
    assert len(clean_name("\x1b" * NAME_CHARACTERS)) == NAME_CHARACTERS


@pytest.mark.parametrize(
    "start", [0, 200, NAME_CHARACTERS - 5, NAME_CHARACTERS, NAME_CHARACTERS + KEY_CHARACTERS - 5]
)
@pytest.mark.parametrize("length", [1, 300, 100_000])
def test_no_part_of_a_key_remains_where_a_text_is_cut_off(start: int, length: int) -> None:
    """Also if other keys before it are redacted, which shortens the text."""
    for before in ("x" * start, KEY * (start // len(KEY))):
        shown = clean_name(before + KEY + "y" * length, redact)
        assert KEY[:8] not in shown
        assert len(shown) <= NAME_CHARACTERS


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/modèle 模型", "/v1/modèle 模型"),
        ("/v1/\x1b[2J", r"/v1/\x1b[2J"),
        ("x" * PATH_BYTES, "x" * PATH_BYTES),
        ("x" * 31_000, "x" * (PATH_BYTES - 3) + "…"),
    ],
)
def test_a_path(path: str, shown: str) -> None:
    assert clean_path(path) == shown


@pytest.mark.parametrize("character", ["x", "é", "模", "🙂", "\x1b", "\ud83d", "\u202e"])
def test_a_path_has_at_most_a_kibibyte(character: str) -> None:
    """Whatever its characters."""
    for length in (PATH_BYTES // 4, PATH_BYTES // 4 + 1, PATH_BYTES, 31_000):
        shown = clean_path(character * length)
        assert len(shown.encode()) <= PATH_BYTES
        assert shown.endswith("…") == (len(printable(character * length).encode()) > PATH_BYTES)


def test_a_sentence_is_longer_than_a_name() -> None:
    assert clean_sentence("It's\n" * 100) == r"It's\n" * 100
    assert bounded("x" * 10, 5) == "xxxx…"
