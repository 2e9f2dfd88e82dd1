"""The pages, and the blocks and commands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = "README.md"
DOCS = tuple(sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
# Their commands change the machine, most of them as root.
INSTALLS = ("systemd/README.md", "windows/README.md", "docker/README.md")
PAGES = (README, *DOCS, *INSTALLS)
RUN = {"sh", "bash", "python"}
# By their first words, with the reason why the tests don't run them.
NOT_RUN = {
    "unset ANTHROPIC_API_KEY\n": "needs Claude Code",
    "llm keys set lmgateway ": "needs llm",
    "tailscale serve ": "needs Tailscale",
    "openssl req ": "test_https.py runs it",
    "lmgateway status --url https://192.168.1.10:8002 ": "test_https.py runs it",
    "curl -N https://llm.example.com/": "test_reverse_proxies.py runs it behind each proxy",
    "python3 -m venv .venv && . .venv/bin/activate && pip install --quiet --editable ": ".ci/run runs it",
}
# Configurations of proxies: test_reverse_proxies.py runs them.
OF_PROXIES = {"nginx", "caddyfile"}
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `new_terminal`: the text before it says "another terminal"."""

    page: str
    section: str
    language: str
    text: str
    new_terminal: bool = False

    @property
    def is_run(self) -> bool:
        return self.page not in INSTALLS and self.language in RUN and not self.text.startswith(tuple(NOT_RUN))

    def split_last(self) -> tuple[str, str]:
        """Return the text before the last command, and that command."""
        *before, last = re.split(r"(?<!\\)\n", self.text.strip())
        return "".join(f"{line}\n" for line in before), f"{last}\n"


def read(page: str) -> str:
    return (ROOT / page).read_text()


def prose(page: str) -> str:
    """Return the page without its fenced blocks."""
    return _FENCED.sub("", read(page))


def inline_code(*pages: str) -> list[str]:
    return [code for page in pages for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))]


def table_rows(page: str, section: str) -> list[list[str]]:
    """Return the cells of each row of the section's tables, without their heads."""
    text = read(page).partition(f"## {section}\n")[2].partition("\n## ")[0]
    assert text, f"{page} has no section {section}"
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


def links(page: str) -> list[str]:
    """Return the targets of the page's relative links."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", read(page)) if not target.startswith("http")]


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def find_blocks(page: str) -> list[Block]:
    """Return every fenced block in order, with its section; "" is the text above the first heading."""
    blocks = []
    sections = ["", *_SECTION.split(read(page))]
    for section, text in zip(sections[::2], sections[1::2], strict=True):
        end = 0
        for block in _FENCED.finditer(text):
            new_terminal = "another terminal" in text[end : block.start()]
            blocks.append(Block(page, section, *block.groups(), new_terminal=new_terminal))
            end = block.end()
    return blocks


BLOCKS = [block for page in PAGES for block in find_blocks(page)]
