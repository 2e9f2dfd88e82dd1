"""Every command in README.md is run as it stands, in the order in which it is read.

What differs from a reader's terminal, and nothing else does:

- `python3` and `.venv/bin/pip` are stand-ins which accept the README's own arguments and no others, and put a
  command in place that runs this checkout. A real environment takes half a minute; .ci/run makes one with the
  README's line for developers, and runs this test in it.
- Tests run side by side, so a free port stands for 8002. Where the text names no port, GATEWAY_PORT does for
  the commands that read it, and `--port` for `demo`, which doesn't. GATEWAY_HOST keeps it on this machine.
- `init` finds a pretend LM Studio by the settings that LM Studio leaves in a home folder, not on port 1234.
- What is pasted while the demo runs meets the demo's key and models in a gateway in this process, before a
  pretend LM Studio in a hurry. The demo itself is run by the section that is about it.
- curl takes a refusal for a failure, as its .curlrc says.

Blocks that need a program which nothing here depends on are named in NOT_RUN, and compared with what
`lmgateway init` prints.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lmgateway.cli import main
from lmgateway.cli.client_snippets import Access, all_lines
from lmgateway.cli.demo import DEMO_KEY, DEMO_MODELS
from lmgateway.schema.models import ActivateRequest
from lmgateway.settings import SETTINGS
from lmgateway.simulator import Pace, Simulator, serve
from lmgateway.web.state import MODELS
from tests.support.gateway import running_gateway

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", "systemd/README.md", "windows/README.md", "docker/README.md")
CHAT, OTHER = DEMO_MODELS["llm"], "llama-3.2-3b-instruct"
RUN = {"sh", "bash", "python"}
PARSED = {"toml": tomllib.loads, "yaml": yaml.safe_load}
# By what they begin with: why nobody runs them here.
NOT_RUN = {
    "unset ANTHROPIC_API_KEY\n": "Claude Code",
    "llm keys set lmgateway ": "llm",
    "python3 -m venv .venv && .venv/bin/pip install --quiet --editable ": ".ci/run does",
}
# Commands that go on until Ctrl-C, and what shows that they have begun.
STAYING = {
    "lmgateway demo": "Ctrl-C ends it.",
    "lmgateway serve": "listens on http://",
    "lmgateway events": " connected ",
    "/debug/stream": "event: connected",
}
VENV = """\
#!/bin/sh
[ "$*" = "-m venv .venv" ] || { echo "a stand-in for python3, asked for $*" >&2; exit 64; }
mkdir -p .venv/bin && cp "$(dirname "$0")/pip" .venv/bin/
"""
PIP = f"""\
#!/bin/sh -e
[ "$*" = "install --quiet ." ] || {{ echo "a stand-in for pip, asked for $*" >&2; exit 64; }}
[ -f pyproject.toml ]
printf '#!/bin/sh\\nexec %s -P -m lmgateway "$@"\\n' {shlex.quote(sys.executable)} > .venv/bin/lmgateway
chmod +x .venv/bin/lmgateway
"""


@dataclass(frozen=True)
class Block:
    section: str
    language: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in RUN and not self.text.startswith(tuple(NOT_RUN))


def find_blocks(text: str) -> list[Block]:
    """Every fenced block, in order, with the section that it stands in."""
    found = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name = section.partition("\n")[0]
        for language, body in FENCED.findall(section):
            found.append(Block(name, language, body))
    return found


BLOCKS = find_blocks(README)
INLINE = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", FENCED.sub("", README))


@dataclass
class Reader:
    """Somebody in a copy of the folder, whose terminal keeps what a block exports for the next one."""

    folder: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def settle(self) -> None:
        """Make the folder, a home with nothing in it, and the stand-ins."""
        copy, home, stand_ins = (self.folder / name for name in ("copy", "home", "stand-ins"))
        for made in (copy, home, stand_ins):
            made.mkdir()
        (copy / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
        (home / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        for name, script in (("python3", VENV), ("pip", PIP)):
            (stand_ins / name).write_text(script)
            (stand_ins / name).chmod(0o755)
        self.environ = {
            "PATH": f"{stand_ins}:{copy / '.venv/bin'}:{os.environ['PATH']}",
            "HOME": str(home),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
        }
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            self.environ["COVERAGE_PROCESS_CONFIG"] = os.environ["COVERAGE_PROCESS_CONFIG"]

    async def follow(self, section: str) -> str:
        """Run the section's blocks, and return all that they printed."""
        return "".join(
            [await self.run(block) for block in BLOCKS if block.section == section and block.is_run]
        )

    async def run(self, block: Block) -> str:
        text = block.text.replace("8002", str(self.port))
        text = text.replace("lmgateway demo\n", f"lmgateway demo --port {self.port}\n")
        session = self.folder / "session"
        before = f". {session}\n" if session.exists() else ""
        if block.language == "python":
            script, stdin = f"{before}exec {shlex.quote(sys.executable)} -", text.encode()
        else:
            script, stdin = f"{before}{text}export -p > {session}\n", b""
        process = await asyncio.create_subprocess_exec(
            *("bash" if block.language == "bash" else "sh", "-euc", script),
            cwd=self.folder / "copy",
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.stack.push_async_callback(self.press_ctrl_c, process)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        last = text.replace("\\\n", "").splitlines()[-1]
        for command, words in STAYING.items():
            if command in last:
                return await self.told(process, words)
        printed, _ = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, f"{text}\nended with {process.returncode}:\n{printed.decode()}"
        return printed.decode()

    async def told(self, process: asyncio.subprocess.Process, words: str) -> str:
        """What it printed until these words, which it goes on after."""
        assert process.stdout is not None
        printed = ""
        while words not in printed:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, f"ended without saying {words!r}:\n{printed}"
            printed += line.decode()
        return printed

    async def press_ctrl_c(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        os.killpg(process.pid, signal.SIGINT)
        try:
            await asyncio.wait_for(process.communicate(), 10)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)


@asynccontextmanager
async def reading(folder: Path, port: int) -> AsyncIterator[Reader]:
    reader = Reader(folder, port)
    reader.settle()
    async with reader.stack:
        yield reader


@asynccontextmanager
async def demo_in_a_hurry(folder: Path) -> AsyncIterator[tuple[Simulator, int]]:
    """What `lmgateway demo` runs."""
    simulator = Simulator(pace=Pace.instant())
    async with serve(simulator, "127.0.0.1", 0) as studio_port:
        tables: dict[str, object] = {
            "lmstudio": {"base_url": f"http://127.0.0.1:{studio_port}"},
            "server": {"state_dir": str(folder / "state")},
            "auth": {"api_key": DEMO_KEY},
        }
        async with running_gateway(tables) as gateway:
            for kind, model in DEMO_MODELS.items():
                simulator.load(model)
                await gateway.app[MODELS].activate(ActivateRequest(model_key=model, type=kind))
            yield simulator, gateway.port


async def test_try_it(tmp_path: Path, unused_tcp_port: int) -> None:
    """Two commands, and a third that shows an answer."""
    async with reading(tmp_path, unused_tcp_port) as reader:
        printed = await reader.follow("Try it")
    assert f"http://127.0.0.1:{unused_tcp_port}/dashboard" in printed
    assert f"http://127.0.0.1:{unused_tcp_port}/docs" in printed
    assert printed.endswith("data: [DONE]\n\n")


async def test_set_it_up(tmp_path: Path, unused_tcp_port: int) -> None:
    """From nothing to a gateway with a model, without an edited line."""
    simulator = Simulator(pace=Pace.instant())
    async with reading(tmp_path, unused_tcp_port) as reader, serve(simulator, "127.0.0.1", 0) as studio_port:
        left_by_lm_studio = tmp_path / "home/.lmstudio/.internal/http-server-config.json"
        left_by_lm_studio.parent.mkdir(parents=True)
        left_by_lm_studio.write_text(json.dumps({"port": studio_port, "networkInterface": "127.0.0.1"}))
        printed = await reader.follow("Set it up")
    assert (tmp_path / "copy/config.toml").stat().st_mode & 0o777 == 0o600
    assert f"LM Studio is at http://127.0.0.1:{studio_port} with 4 models." in printed
    assert "\n0 problems, " in printed
    assert f"{CHAT} is loaded and is now the active model." in printed
    assert "LM Studio has no load setting" not in printed
    assert simulator.memory.instances() == []


async def test_connect_a_client(tmp_path: Path) -> None:
    """curl and both libraries get an answer."""
    async with demo_in_a_hurry(tmp_path) as (_, port), reading(tmp_path, port) as reader:
        printed = await reader.follow("Connect a client")
    assert printed.count("This is a simulated answer") == 3


async def test_manage_it_over_http(tmp_path: Path) -> None:
    """curl and Python's standard library load a model, look at it, and take it out again."""
    async with demo_in_a_hurry(tmp_path) as (simulator, port), reading(tmp_path, port) as reader:
        printed = await reader.follow("Manage it over HTTP")
        assert {instance.identifier for instance in simulator.memory.instances()} == set(DEMO_MODELS.values())
    assert '"contextLength":8192' in printed.replace(" ", "")
    assert f"{CHAT} (active)\n" in printed
    assert "spare \n" in printed


def test_no_block_is_left_out() -> None:
    """A section with a new command needs a test above."""
    followed = set(re.findall(r'follow\("(.*?)"\)', Path(__file__).read_text()))
    assert {block.section for block in BLOCKS if block.is_run} == followed
    assert {block.language for block in BLOCKS} <= {*RUN, *PARSED, ""}
    for beginning in NOT_RUN:
        assert len([block for block in BLOCKS if block.text.startswith(beginning)]) == 1, beginning
    for block in BLOCKS:
        if block.language in PARSED:
            assert PARSED[block.language](block.text)
        if not block.language:
            assert "─▶" in block.text, "a block without a language is a drawing"


def test_ci_finds_the_line_for_developers() -> None:
    [line] = re.findall(r"^command=\$\((.*)\)$", (ROOT / ".ci/prepare").read_text(), re.MULTILINE)
    found = subprocess.run(["sh", "-c", line], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert found in [block.text for block in BLOCKS if not block.is_run]


def test_recipes_are_what_init_prints() -> None:
    """Every client's, to the letter; what `init` says in a comment is said in the text."""
    access = Access(base_url="http://127.0.0.1:8002", key=DEMO_KEY, model=CHAT)
    printed = re.split(r"^# .*\n", all_lines(access), flags=re.MULTILINE)
    shown = [block.text.strip() for block in BLOCKS if block.section == "Connect a client"]
    assert [recipe for recipe in map(str.strip, printed) if recipe not in [*shown, *INLINE, ""]] == []


@pytest.mark.parametrize("command", sorted({text for text in INLINE if re.match(r"lmgateway [a-z]", text)}))
def test_a_command_in_the_text_exists(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, name, *rest = shlex.split(command)
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert [word for word in rest if word.startswith("--") and word not in told] == []


def test_the_tools_in_the_text_exist() -> None:
    """Modules with their options, and test files with their variables."""
    tools = [shlex.split(text) for text in INLINE if text.startswith((".venv/bin/python -m ", "LMGATEWAY_"))]
    assert tools
    for words in tools:
        if words[:2] == [".venv/bin/python", "-m"]:
            found = importlib.util.find_spec(words[2])
            assert found is not None, words
            assert found.origin is not None
            file = Path(found.origin)
            files = list(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
            needed = [word for word in words[3:] if word.startswith("--")]
        else:
            path = ROOT / words[-1]
            files = [path] if path.is_file() else list(path.rglob("*.py"))
            needed = [words[0].partition("=")[0]]
        text = "".join(file.read_text() for file in files)
        assert text, words
        assert [word for word in needed if f'"{word}"' not in text] == [], words


def test_the_table_of_settings_is_right() -> None:
    """Each with its variable and its default."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| `(\w+)` \| (?:`(.*?)`)? ?\|", README, re.MULTILINE)
    assert len(rows) == 10
    for path, variable, default in rows:
        setting = SETTINGS[path]
        assert variable == setting.env[0]
        assert default == ("" if not setting.default else str(setting.default)), path


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    targets = [
        target for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not target.startswith("http")
    ]
    for target in targets:
        path, _, anchor = target.partition("#")
        other = page.parent / path if path else page
        assert other.exists(), target
        assert not anchor or anchor in anchors(other), target
