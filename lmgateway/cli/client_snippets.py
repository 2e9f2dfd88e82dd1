"""Ready-to-paste settings for each client, with the gateway's URL, its key and a model.

The dashboard shows the same ones: both fill the templates of web/static/clients.json. `{{TEXT|FILTER}}` is a
text in which $BASE, $KEY and $MODEL are replaced, as the filters quote it for the place where it stands.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from importlib import resources

import msgspec
from msgspec import Struct

_FILTERS: Mapping[str, Callable[[str], str]] = {
    "shell": shlex.quote,
    "single": lambda text: text.replace("'", "'\\''"),  # between the single quotes of a shell's word
    "json": lambda text: json.dumps(text, ensure_ascii=False),  # as TOML, YAML and Python read it, too
}
_PLACE = re.compile(r"\{\{(.+?)((?:\|\w+)+)\}\}")
_NAME = re.compile(r"\$(BASE|KEY|MODEL)")


class Access(Struct, frozen=True):
    """What a client needs to connect. `base_url` doesn't include /v1."""

    base_url: str
    key: str
    model: str


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """A client's template."""

    name: str
    lines: tuple[str, ...]
    about: str = ""


def all_lines(access: Access) -> str:
    """Return every client's settings, each below a comment with the client's name."""
    return "\n\n".join(f"# {client.name}\n{fill(client, access)}" for client in clients())


def clients() -> list[Client]:
    file = resources.files("lmgateway") / "web" / "static" / "clients.json"
    return msgspec.json.decode(file.read_bytes(), type=list[Client])


def fill(client: Client, access: Access) -> str:
    values = {"BASE": access.base_url, "KEY": access.key, "MODEL": access.model}

    def filled(place: re.Match[str]) -> str:
        text = _NAME.sub(lambda name: values[name[1]], place[1])
        for name in place[2].split("|")[1:]:
            text = _FILTERS[name](text)
        return text

    return _PLACE.sub(filled, "\n".join(client.lines))
