"""The QR code that signs a phone in: what it holds, and where it isn't shown."""

from __future__ import annotations

import io
import sys

import pytest
import segno

from lmgateway.cli import sign_in_code
from tests.cli.conftest import Commands

KEY = "sk-lm-ABCDEFGH:ABCDEFGHIJKLMNOPQRST"
BASE = "http://192.168.1.20:8002"
LINK = f"{BASE}/dashboard#key={KEY}"
# The upper and the lower module of a character; True is a light one.
MODULES = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}
MARGIN = 2


class Screen(io.TextIOWrapper):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def show(monkeypatch: pytest.MonkeyPatch, screen: Screen, base_url: str = BASE, columns: int = 80) -> str:
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", str(columns))
    sign_in_code.show(base_url, KEY)
    return screen.shown


def test_the_code_is_that_of_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same colours on every terminal."""
    shown = show(monkeypatch, Screen())
    lines = [line for line in shown.splitlines() if line.startswith("\x1b[97;40m")]
    rows: list[list[bool]] = []
    for line in lines:
        pairs = [MODULES[character] for character in line.removeprefix("\x1b[97;40m").removesuffix("\x1b[0m")]
        rows += [[pair[half] for pair in pairs] for half in (0, 1)]
    code = segno.make(LINK, error="l", micro=False)
    expected = [[not module for module in row] for row in code.matrix_iter(border=MARGIN)]
    assert rows[: len(expected)] == expected
    assert KEY not in shown


@pytest.mark.parametrize(
    ("key", "fragment"), [("a kéy & more", "a%20k%C3%A9y%20%26%20more"), ("100%#", "100%25%23"), (KEY, KEY)]
)
def test_any_key_fits_into_a_link(key: str, fragment: str) -> None:
    assert sign_in_code.link(BASE, key) == f"{BASE}/dashboard#key={fragment}"


@pytest.mark.parametrize(
    ("screen", "base_url", "columns", "reason"),
    [
        (Screen(), BASE, 30, "The terminal is too narrow for the QR code, which has 37 columns."),
        (Screen("ascii"), BASE, 80, "The QR code needs a terminal with UTF-8."),
        (Screen(), "http://localhost:8002", 80, "a phone can't connect to http://localhost:8002."),
        (Screen(), "http://[::1]:8002", 80, "a phone can't connect to http://[::1]:8002."),
    ],
)
def test_it_says_why_there_is_none(
    monkeypatch: pytest.MonkeyPatch, screen: Screen, base_url: str, columns: int, reason: str
) -> None:
    shown = show(monkeypatch, screen, base_url, columns)
    assert reason in shown
    assert "█" not in shown


async def test_it_never_gets_into_a_file(commands: Commands) -> None:
    """The output of a command may be one, or a log."""
    status, output = await commands.run("keys", "add", "phone", "--qr")
    assert status == 0
    assert "The QR code is shown on a terminal only, because it contains the key." in output
    assert "█" not in output


@pytest.mark.parametrize("action", [("keys", "add", "phone"), ("keys", "rotate", "phone")])
async def test_a_terminal_gets_it(commands: Commands, action: tuple[str, ...]) -> None:
    """Here the gateway's address is one that no phone can connect to."""
    if "rotate" in action:
        await commands.run("keys", "add", "phone")
    async with commands.on_terminal(*action, "--qr") as terminal:
        assert await terminal.ends() == 0
    assert f"a phone can't connect to {commands.gateway.base_url}." in terminal.shown
