"""The QR code of a link that signs a phone in to the dashboard."""

from __future__ import annotations

import io
import shutil
import sys
from ipaddress import ip_address
from urllib.parse import quote, urlsplit

from .output import Coloured, is_terminal, say

# Bright white on black, whatever the terminal's colours are: not every reader knows inverted codes.
_WHITE_ON_BLACK = "97;40"


def link(base_url: str, key: str) -> str:
    """Return the link. The key is in its fragment, which browsers don't send to servers."""
    return f"{base_url}/dashboard#key={quote(key, safe=':')}"


def show(base_url: str, key: str) -> None:
    """Show the code on a terminal, or say why there is none. It never gets into a file or a log."""
    if not is_terminal():
        say("The QR code is shown on a terminal only, because it contains the key.")
        return
    if _is_own_address(base_url):
        say(f"There is no QR code, because a phone can't connect to {base_url}. Set server.host.")
        return
    lines = _lines(link(base_url, key))
    width = len(lines[0])
    if shutil.get_terminal_size().columns < width:
        say(f"The terminal is too narrow for the QR code, which has {width} columns.")
    elif not _can_write(lines):
        say("The QR code needs a terminal with UTF-8.")
    else:
        say("Scan this with a phone in the gateway's network to open the dashboard with this key. Show it to")
        say("nobody else: it is as secret as the key.")
        for line in lines:
            say(Coloured(line, _WHITE_ON_BLACK))


def _is_own_address(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _lines(text: str) -> list[str]:
    """Return the code as lines, of which each has two rows of modules. A block is a light module."""
    import segno  # only here, because the gateway's start doesn't need it

    drawing = io.StringIO()
    segno.make(text, error="l", micro=False).terminal(drawing, border=2, compact=True)
    return drawing.getvalue().rstrip("\n").split("\n")


def _can_write(lines: list[str]) -> bool:
    try:
        "".join(lines).encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True
