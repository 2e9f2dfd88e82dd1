"""A reader who pastes a page's blocks into a terminal, in the order in which they stand."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from .documents import BLOCKS, README, ROOT, Block

# Commands that run until Ctrl-C, and the words which show that they are ready.
STAYING = {
    "lmgateway demo": "Press Ctrl-C to stop it.",
    "lmgateway serve": "listens on http://",
    "lmgateway events": " connected ",
    "/debug/stream": "event: connected",
}
GIT = f"""\
#!/bin/sh -e
[ "$*" = "clone ADDRESS lmgateway" ] || {{ echo "a stand-in for git, called with $*" >&2; exit 64; }}
mkdir lmgateway
ln -s {shlex.quote(str(ROOT / "pyproject.toml"))} lmgateway/
"""
PYTHON = """\
#!/bin/sh -e
[ "$*" = "-m venv .venv" ] || { echo "a stand-in for python3, called with $*" >&2; exit 64; }
mkdir -p .venv/bin
cp "$(dirname "$0")/pip-of-venv" .venv/bin/pip
echo "PATH='$PWD/.venv/bin':\\$PATH; export PATH" > .venv/bin/activate
"""
PIP = f"""\
#!/bin/sh -e
[ "$*" = "install --quiet ." ] || {{ echo "a stand-in for pip, called with $*" >&2; exit 64; }}
[ -f pyproject.toml ]
printf '#!/bin/sh\\nexec %s -P -m lmgateway "$@"\\n' {shlex.quote(sys.executable)} > .venv/bin/lmgateway
chmod +x .venv/bin/lmgateway
"""
NOT_ACTIVATED = """\
#!/bin/sh
echo "$(basename "$0") was called without an active environment" >&2
exit 127
"""
STAND_INS = {
    "git": GIT,
    "python3": PYTHON,
    "pip-of-venv": PIP,
    "pip": NOT_ACTIVATED,
    "lmgateway": NOT_ACTIVATED,
}


@dataclass
class Reader:
    """Runs blocks. The folder and the exported variables of one block are those of the next.

    A section begins in the first terminal, and its text opens a second one.
    """

    folder: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)
    cwd: Path = field(init=False)
    session: Path = field(init=False)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def __post_init__(self) -> None:
        """Make an empty home folder, and the stand-ins."""
        home, stand_ins = self.folder / "home", self.folder / "stand-ins"
        home.mkdir()
        stand_ins.mkdir()
        (home / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        for name, script in STAND_INS.items():
            (stand_ins / name).write_text(script)
            (stand_ins / name).chmod(0o755)
        self.cwd, self.session = home, self.folder / "first-terminal"
        self.environ |= {
            "PATH": f"{stand_ins}:{os.environ['PATH']}",
            "HOME": str(home),
            "GATEWAY_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
        }
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            self.environ["COVERAGE_PROCESS_CONFIG"] = os.environ["COVERAGE_PROCESS_CONFIG"]

    async def install(self) -> None:
        """Do what the front page says before `lmgateway demo`."""
        block = next(block for block in BLOCKS if block.page == README)
        text, demo = block.split_last()
        assert demo == "lmgateway demo\n"
        await self.run(replace(block, text=text))

    async def follow(self, page: str, section: str | None = None) -> str:
        """Run the blocks of a section, or of the page, and return their output."""
        self.session = self.folder / "first-terminal"
        blocks = [block for block in BLOCKS if block.page == page and section in {None, block.section}]
        return "".join([await self.run(block) for block in blocks if block.is_run])

    async def run(self, block: Block) -> str:
        text = block.text.replace("8002", str(self.port))
        text = text.replace("lmgateway demo\n", f"lmgateway demo --port {self.port}\n")
        block = replace(block, text=text)
        _, last = block.split_last()
        ready = [words for command, words in STAYING.items() if command in last]
        if block.new_terminal:
            self.session = self.folder / "second-terminal"
            self.session.unlink(missing_ok=True)
        process = await self.start(self.script(block, stays=bool(ready)), block)
        if ready:
            printed = await self.wait_for(process, ready[0])
        else:
            output, _ = await asyncio.wait_for(process.communicate(), 30)
            printed = output.decode()
            assert process.returncode == 0, f"{text}\nended with {process.returncode}:\n{printed}"
        if (self.folder / "cwd").exists():
            self.cwd = Path((self.folder / "cwd").read_text().removesuffix("\n"))
        return printed

    def script(self, block: Block, *, stays: bool) -> str:
        restore = f". {self.session}\n" if self.session.exists() else ""
        if block.language == "python":
            return f"{restore}exec {shlex.quote(sys.executable)} -"
        save = f"export -p > {self.session}\npwd > {self.folder / 'cwd'}\n"
        if not stays:
            return f"{restore}{block.text}{save}"
        before, last = block.split_last()
        return f"{restore}{before}{save}{last}"

    async def start(self, script: str, block: Block) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *("bash" if block.language == "bash" else "sh", "-euc", script),
            cwd=self.cwd,
            env=self.environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self.stack.push_async_callback(self.press_ctrl_c, process)
        assert process.stdin is not None
        if block.language == "python":
            process.stdin.write(block.text.encode())
        process.stdin.close()
        return process

    async def wait_for(self, process: asyncio.subprocess.Process, words: str) -> str:
        """Return the output up to the line with these words; the process continues."""
        assert process.stdout is not None
        printed = ""
        while words not in printed:
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            assert line, f"ended without printing {words!r}:\n{printed}"
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
    async with reader.stack:
        yield reader
