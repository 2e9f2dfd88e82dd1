"""The server log's files."""

import re
from datetime import datetime
from pathlib import Path

import aiohttp

from lmgateway.simulator import Simulator

from .conftest import EMBEDDING, LLM, ask

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"


async def chat(http: aiohttp.ClientSession, **more: object) -> dict[str, object]:
    async with http.post("/v1/chat/completions", json=ask("a secret question", **more)) as response:
        return await response.json()


async def test_the_records_of_a_generation(simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path):
    """Every kind of record is there, with the request's own figures and LM Studio's unstamped lines."""
    simulator.load(LLM)
    answer = await chat(http, temperature=0.5, top_k=7, max_tokens=3)
    (path,) = log_dir.glob("*/*.log")
    text = path.read_text(encoding="utf-8")
    prompt = answer["usage"]["prompt_tokens"]
    for pattern in (
        rf"^{STAMP}\[INFO\]\[LM STUDIO SERVER\] Running chat completion on conversation with 1 messages\.$",
        rf"^{STAMP}\[DEBUG\] Sampling params:\trepeat_last_n = 64, repeat_penalty = 1\.100, ",
        r"^\ttop_k = 7, top_p = 0\.950, min_p = 0\.050, .* temp = 0\.500$",
        r"^\tmirostat = 0, mirostat_lr = 0\.100, mirostat_ent = 5\.000$",
        rf"^{STAMP}\[DEBUG\] Sampling: $",
        rf"^Generate: n_ctx = 4096, n_batch = 512, n_predict = 3, n_keep = {prompt}$",
        rf"^Cache reuse summary: 0/{prompt} of prompt \(0%\), 0 prefix, 0 non-prefix$",
        rf"^Total prompt tokens: {prompt}\nPrompt tokens to decode: {prompt}$",
        rf"^{STAMP}\[DEBUG\] \nBeginProcessingPrompt$",
        rf"^{STAMP}\[INFO\]\[{re.escape(LLM)}\] Prompt processing progress: 100\.0%$",
    ):
        assert re.search(pattern, text, re.MULTILINE), pattern


async def test_no_prompt_is_logged(simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path):
    """Neither a question nor an answer nor a text to embed reaches the log."""
    simulator.load(LLM)
    await chat(http)
    async with http.post("/v1/embeddings", json={"model": EMBEDDING, "input": "a secret text"}):
        pass
    text = "".join(path.read_text(encoding="utf-8") for path in log_dir.glob("*/*.log"))
    assert "Running embedding on 1 inputs." in text
    assert "secret" not in text
    assert "simulated" not in text


async def test_files_are_named_by_month_day_and_number(
    simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path
):
    """A file that has grown is followed by the next number; no record is torn."""
    simulator.load(LLM)
    simulator.log.rotate_bytes = 600
    before = datetime.now().astimezone()
    await chat(http)
    await chat(http)
    after = datetime.now().astimezone()
    paths = sorted(log_dir.glob("*/*.log"), key=lambda path: path.stat().st_mtime_ns)
    days = {f"{moment:%Y-%m/%Y-%m-%d}" for moment in (before, after)}
    named = [re.fullmatch(r"(.*)\.(\d+)\.log", str(path.relative_to(log_dir))) for path in paths]
    assert {match[1] for match in named} <= days
    assert {match[2] for match in named} >= {"1", "2", "3"}
    assert all(path.read_text(encoding="utf-8").startswith("[20") for path in paths)


async def test_a_restarted_simulator_appends(log_dir: Path):
    """The last file is appended to while it has room."""
    for _ in range(2):
        simulator = Simulator(log_dir=log_dir)
        simulator.log.write("INFO", "hello")
        await simulator.close()
    (path,) = log_dir.glob("*/*.log")
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2


def test_slow_subscribers_lose_the_oldest():
    """A queue is bounded."""
    log = Simulator().log
    with log.listen() as records:
        for number in range(1500):
            log.write("DEBUG", str(number))
        assert records.qsize() == 1000
        assert records.get_nowait().content == "500"
