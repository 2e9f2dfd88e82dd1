"""Every block of every page is run as it stands, or parsed where it can't be run.

The blocks of README.md and docs/ run in the order in which they stand. The differences to a reader's
terminal:

- `git`, `python3` and `pip` are stand-ins which accept the README's own arguments and no others, and
  install a command that runs this checkout. A real installation takes half a minute; .ci/run makes one with
  the README's test command, and runs these tests in it.
- Tests run side by side, so a free port replaces 8002. Where the text names no port, GATEWAY_PORT sets it
  for the commands that read it, and `--port` for `demo`, which doesn't. GATEWAY_HOST restricts them to this
  machine.
- `init` finds a simulated LM Studio by the settings that LM Studio leaves in a home folder, not on port 1234.
- Blocks to paste beside the demo get a gateway in this process with the demo's key and models, and a
  simulated LM Studio that responds without pauses. The section about the demo runs the real one.
- curl treats an error status as a failure, by its .curlrc.

documents.NOT_RUN lists the blocks that need other programs. Those of clients are compared with the output of
`lmgateway init`. The pages about services change the machine, so their blocks are only parsed.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from lmgateway.cli.client_snippets import Access, all_lines
from lmgateway.cli.demo import DEMO_KEY, DEMO_MODELS
from lmgateway.schema.models import ActivateRequest
from lmgateway.simulator import Pace, Simulator, serve
from lmgateway.web.state import MODELS
from tests.support.gateway import running_gateway

from .documents import BLOCKS, DOCS, NOT_RUN, OF_PROXIES, README, ROOT, Block, inline_code
from .reader import reading

CHAT = DEMO_MODELS["llm"]
# Words that a page's output contains when its commands did what the page says.
SHOWN = {
    "docs/commands.md": (
        "llama-3.2-3b-instruct is loaded",
        f"{CHAT} is now the active model",
        "The key alice is revoked",
    ),
    "docs/keys-and-sharing.md": ("ben has the key with the id", '"status":"revoked","name":"backup-agent"'),
    "docs/http.md": ('"contextLength":8192', f"{CHAT} (active)\n", "spare \n"),
}
# Each page of docs/ with a block to run.
DOCS_TO_RUN = sorted({block.page for block in BLOCKS if block.is_run and block.page in DOCS})


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


async def test_trying_it_and_setting_it_up(tmp_path: Path, unused_tcp_port: int) -> None:
    """From nothing to the demo, and from there to a gateway with a model, without editing a line."""
    simulator = Simulator(pace=Pace.instant())
    async with reading(tmp_path, unused_tcp_port) as reader, serve(simulator, "127.0.0.1", 0) as studio_port:
        tried = await reader.follow("README.md", "Try it")
        await reader.stack.aclose()
        left_by_lm_studio = tmp_path / "home/.lmstudio/.internal/http-server-config.json"
        left_by_lm_studio.parent.mkdir(parents=True)
        left_by_lm_studio.write_text(json.dumps({"port": studio_port, "networkInterface": "127.0.0.1"}))
        printed = await reader.follow("README.md", "Set it up")
        loaded = {instance.identifier for instance in simulator.memory.instances()}
    assert f"http://127.0.0.1:{unused_tcp_port}/dashboard" in tried
    assert f"http://127.0.0.1:{unused_tcp_port}/docs" in tried
    assert "This is a simulated answer" in tried
    assert (tmp_path / "home/lmgateway/config.toml").stat().st_mode & 0o777 == 0o600
    assert f"LM Studio is at http://127.0.0.1:{studio_port} with 6 models." in printed
    assert "\n0 problems, " in printed
    assert f"{CHAT} is loaded and is now the active model." in printed
    assert "not a load setting" not in printed
    assert loaded == {CHAT}


async def test_uninstalling_leaves_nothing(tmp_path: Path, unused_tcp_port: int) -> None:
    """`doctor` names the folder that the next line deletes, while the command still exists."""
    async with reading(tmp_path, unused_tcp_port) as reader:
        await reader.follow("README.md", "Try it")
        await reader.stack.aclose()
        state = tmp_path / "home/.local/state/lmgateway"
        state.mkdir(parents=True)
        printed = await reader.follow("README.md", "Update and uninstall")
    assert str(state) in printed
    assert not state.exists()
    assert not (tmp_path / "home/lmgateway").exists()


async def test_connecting_a_client(tmp_path: Path) -> None:
    """curl and both libraries get a response."""
    async with demo_in_a_hurry(tmp_path) as (_, port), reading(tmp_path, port) as reader:
        printed = await reader.follow("README.md", "Connect a client")
    assert printed.count("This is a simulated answer") == 3


@pytest.mark.parametrize("page", DOCS_TO_RUN)
async def test_a_page_runs_beside_the_demo(page: str, tmp_path: Path) -> None:
    """Its blocks work as pasted, and the demo has the same models afterwards."""
    async with demo_in_a_hurry(tmp_path) as (simulator, port), reading(tmp_path, port) as reader:
        await reader.install()
        printed = await reader.follow(page)
        loaded = {instance.identifier for instance in simulator.memory.instances()}
    assert loaded == set(DEMO_MODELS.values())
    assert [words for words in SHOWN.get(page, ()) if words not in printed] == [], printed


def parse_shell(text: str) -> None:
    """Fails on a command line that bash can't parse."""
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def parse_unit(text: str) -> None:
    """Fails on what isn't systemd's format, in which a name may occur more than once."""
    units = configparser.ConfigParser(strict=False, interpolation=None)
    units.read_string(text)
    assert units.sections()


def parse_powershell(text: str) -> None:
    """Fails on unbalanced quotes, and on an option that a script of windows/ doesn't have."""
    words = shlex.split(text.replace("\\", "/"))
    if "-File" in words:
        path, *options = words[words.index("-File") + 1 :]
        script = (ROOT / path).read_text()
        parameters = {f"-{name}" for name in re.findall(r"^    \[\w+\] \$(\w+)", script, re.MULTILINE)}
        assert [word for word in options if word[0] == "-" and word not in parameters] == []


def parse_drawing(text: str) -> None:
    assert "─▶" in text, "a block without a language is a drawing"


PARSERS: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
    "sh": parse_shell,
    "bash": parse_shell,
    "ini": parse_unit,
    "powershell": parse_powershell,
    "": parse_drawing,
}


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if not block.is_run and block.language not in OF_PROXIES],
    ids=lambda block: block.page,
)
def test_a_block_that_is_not_run_is_parsed(block: Block) -> None:
    assert PARSERS[block.language](block.text) is not False


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in {"sh", "bash"}])
def test_zsh_takes_a_block_too(block: Block) -> None:
    """The shell of macOS drops `!"` from what is typed, and waits for the end of the quote."""
    assert '!"' not in re.sub(r"'[^']*'", "", block.text)


def test_no_block_is_left_out() -> None:
    """A section of the README with a new command needs a test above, and an exception a block."""
    followed = set(re.findall(r'follow\("README.md", "(.*?)"\)', Path(__file__).read_text()))
    assert {block.section for block in BLOCKS if block.page == README and block.is_run} == followed
    for beginning in NOT_RUN:
        assert len([block for block in BLOCKS if block.text.startswith(beginning)]) == 1, beginning


def test_ci_finds_the_test_command() -> None:
    [line] = re.findall(r"^command=\$\((.*)\)$", (ROOT / ".ci/prepare").read_text(), re.MULTILINE)
    command = subprocess.run(["sh", "-c", line], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert command in [block.text for block in BLOCKS if block.page == README and not block.is_run]


def test_recipes_are_what_init_prints() -> None:
    """Every client's, to the letter; what `init` prints as a comment is in the text."""
    access = Access(base_url="http://127.0.0.1:8002", key=DEMO_KEY, model=CHAT)
    printed = re.split(r"^# .*\n", all_lines(access), flags=re.MULTILINE)
    pages = (README, "docs/clients.md")
    shown = {block.text.strip() for block in BLOCKS if block.page in pages} | {*inline_code(*pages), ""}
    assert [recipe for recipe in map(str.strip, printed) if recipe not in shown] == []
