"""Globs of model keys, with `*` and `?`."""

from __future__ import annotations

import time

import pytest

from lmgateway.access.globs import EVERY_MODEL, Globs


@pytest.mark.parametrize(
    ("glob", "model", "allowed"),
    [
        ("*", "qwen/qwen3-8b", True),
        ("qwen/*", "qwen/qwen3-8b", True),
        ("qwen/*", "qwen", False),
        ("qwen*", "qwen/qwen3-8b", True),
        ("*8b", "qwen/qwen3-8b", True),
        ("*8b", "qwen/qwen3-8b@q4", False),
        ("qwen3-?b", "qwen3-8b", True),
        ("qwen3-?b", "qwen3-14b", False),
        ("qwen3-?b", "qwen3-b", False),
        ("a?b", "a/b", True),
        ("qwen3-8b", "Qwen3-8b", False),
        ("qwen3-8b", "xqwen3-8b", False),
        ("qwen3-8b", "qwen3-8b\n", False),
        ("qwen3-8b", "qwen3-8bx", False),
        ("qwen[23]", "qwen2", False),
        ("qwen[23]", "qwen[23]", True),
        ("a.b", "axb", False),
        ("a+(b)|^$\\", "a+(b)|^$\\", True),
        ("a*c", "a\nc", True),
    ],
)
def test_which_model_a_glob_allows(glob: str, model: str, allowed: bool) -> None:
    """The whole key, by its case; only `*` and `?` have a meaning."""
    assert Globs((glob,)).allow(model) is allowed


def test_one_of_several_is_enough() -> None:
    globs = Globs(("a*", "b*"))
    assert [globs.allow(model) for model in ("a1", "b1", "c1")] == [True, True, False]


@pytest.mark.parametrize(("globs", "all_of_them"), [(("*",), True), (("a", "**"), True), (("?*",), False)])
def test_what_allows_every_model(globs: tuple[str, ...], all_of_them: bool) -> None:
    """Also one whose key isn't known."""
    assert Globs(globs).allow_all is all_of_them
    assert EVERY_MODEL.allow("anything")


def test_no_glob_takes_long() -> None:
    """Clients choose the model's name, and admins the globs."""
    began = time.thread_time()
    assert not Globs(("*a" * 100,)).allow("a" * 99 + "b" * 157)
    assert time.thread_time() - began < 1
