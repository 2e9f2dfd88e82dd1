"""The server log's files."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest

from lmgateway.simulator import Pace, Simulator, Switches, serve
from tests.support.gate import Gate
from tests.support.waiting import PATIENCE_SECONDS

from .conftest import EMBEDDING, LLM, MLX, Socket, ask

STAMP = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]"


@asynccontextmanager
async def serve_one(
    log_dir: Path, **options: object
) -> AsyncIterator[tuple[Simulator, aiohttp.ClientSession]]:
    simulator = Simulator(pace=Pace.instant(), log_dir=log_dir, **options)
    async with (
        serve(simulator, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        yield simulator, http


async def chat(http: aiohttp.ClientSession, **more: object) -> dict[str, object]:
    async with http.post("/v1/chat/completions", json=ask("a secret question", **more)) as response:
        return await response.json()


def written(log_dir: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sorted(log_dir.glob("*/*.log")))


def records(log_dir: Path) -> list[str]:
    """The file's records without their dates; numbers that depend on time are N."""
    text = re.sub(r" +[\d.inf]+ (ms|tokens per second)", r" N \1", written(log_dir))
    return re.split(rf"^{STAMP}", text, flags=re.MULTILINE)[1:]


ENGINE_BEGINS = """[DEBUG] LlamaV4::predict slot selection: session_id=<empty> server-selected (LCP/LRU)
slot launch_slot_: id  0 | task 0 | processing task, is_child = 0
slot update_slots: id  0 | task 0 | new prompt, n_ctx_slot = 4096, n_keep = 5, task.n_tokens = 5
"""
# The first line ends with a blank.
ENGINE_ENDS = """[DEBUG] slot print_timing: id  0 | task 0 |\x20
prompt eval time = N ms /     5 tokens ( N ms per token, N tokens per second)
       eval time = N ms /     3 tokens ( N ms per token, N tokens per second)
      total time = N ms /     8 tokens
slot      release: id  0 | task 0 | stop processing: n_tokens = 8, truncated = 0
"""
ENGINE_HAS_ENDED = "[DEBUG] LlamaV4: server assigned slot 0 to task 0\n"


def of_model(text: str) -> str:
    return f"[INFO][{LLM}] {text}\n"


PROGRESS = [of_model("Prompt processing progress: 0.0%"), of_model("Prompt processing progress: 100.0%")]


async def test_the_records_of_a_stream(simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path):
    """The server's records have the model as source, llama-server's none; only a first line is stamped."""
    simulator.load(LLM)
    async with http.post(
        "/v1/chat/completions", json=ask("a secret question", stream=True, max_tokens=3)
    ) as response:
        await response.read()
    request, *others = records(log_dir)
    assert request.startswith(
        "[DEBUG] Received request: POST to /v1/chat/completions with body {\n"
        f'  "model": "{LLM}",\n  "messages": [\n    {{\n      "role": "user",\n'
    )
    assert request.endswith("\n}\n")
    assert others == [
        of_model("Running chat completion on conversation with 1 messages."),
        of_model("Streaming response..."),
        ENGINE_BEGINS,
        *PROGRESS,
        of_model("First token generated. Continuing to stream response.."),
        ENGINE_ENDS,
        ENGINE_HAS_ENDED,
        of_model("Finished streaming response"),
    ]


async def test_the_records_of_a_whole_answer(
    simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path
):
    """The answer is the last record."""
    simulator.load(LLM)
    answer = await chat(http, max_tokens=3)
    (_, *others, generated) = records(log_dir)
    assert others == [
        of_model("Running chat completion on conversation with 1 messages."),
        of_model("Accumulating tokens ... (stream = false)"),
        ENGINE_BEGINS,
        *PROGRESS,
        ENGINE_ENDS,
        ENGINE_HAS_ENDED,
    ]
    head = f"[INFO][{LLM}] Generated prediction:  {{\n"
    assert generated.startswith(head)
    assert json.loads(generated[len(head) - 2 :]) == answer


@pytest.mark.parametrize(
    ("path", "body", "stream", "texts"),
    [
        (
            "/v1/messages",
            {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3},
            True,
            (
                "Running Anthropic messages API on conversation with 1 messages.",
                "Streaming Anthropic response...",
                "Finished streaming Anthropic response",
            ),
        ),
        (
            "/v1/responses",
            {"input": "Hi"},
            False,
            (
                "Generating synchronous v1/responses response...",
                "Generated synchronous v1/responses response: {",
            ),
        ),
    ],
)
async def test_other_endpoints_have_their_own_texts(
    simulator: Simulator,
    http: aiohttp.ClientSession,
    log_dir: Path,
    path: str,
    body: dict[str, object],
    stream: bool,
    texts: tuple[str, ...],
):
    """None of them runs a chat completion."""
    simulator.load(LLM)
    async with http.post(path, json={"model": LLM, "stream": stream, **body}) as response:
        await response.read()
    lines = written(log_dir).splitlines()
    for text in texts:
        assert any(line.endswith(f"[INFO][{LLM}] {text}") for line in lines), text
    assert not any("chat completion" in line for line in lines)


async def test_long_strings_are_cut(http: aiohttp.ClientSession, log_dir: Path):
    """Of more than 120 UTF-16 units the first and last 50 remain; an emoji has two."""
    long = "a" * 50 + "-" * 21 + "\N{GRINNING FACE}" * 25
    for content in ("b" * 120, long):
        async with http.post("/nowhere", json={"messages": [{"content": content}]}):
            pass
    text = written(log_dir)
    assert f'"content": "{"b" * 120}"' in text
    cut = f"{'a' * 50}... <Truncated in logs> ...{chr(0x1F600) * 25}"
    assert f'"content": "{cut}"' in text


async def test_requests_without_a_body(http: aiohttp.ClientSession, log_dir: Path):
    """Unknown paths are errors, which name no model."""
    async with http.head("/"):
        pass
    assert records(log_dir) == [
        "[DEBUG] Received request: HEAD to /\n",
        "[ERROR] Unexpected endpoint or method. (HEAD /). Returning 200 anyway\n",
    ]


async def test_a_client_that_leaves(simulator: Simulator, http: aiohttp.ClientSession, log_dir: Path):
    """The slot is released without timings."""
    simulator.load(LLM)
    simulator.pace = gate = Gate(holds="token")
    request = asyncio.create_task(chat(http, stream=True))
    await asyncio.wait_for(gate.reached.wait(), PATIENCE_SECONDS)
    request.cancel()
    await asyncio.wait_for(simulator.ledger.wait(aborted=1), PATIENCE_SECONDS)
    left = (
        "Client disconnected. Stopping generation... "
        "(If the model is busy processing the prompt, it will finish first.)"
    )
    *_, disconnected, released = records(log_dir)
    assert disconnected == of_model(left)
    assert released == (
        "[DEBUG] slot      release: id  0 | task 0 | stop processing: n_tokens = 6, truncated = 0\n"
    )


async def test_an_mlx_model(log_dir: Path):
    """MLX has no slots, and names what its prompt cache held."""
    async with serve_one(log_dir, extra_models=[MLX]) as (simulator, http):
        simulator.load("gemma-mlx")
        await chat(http, model="gemma-mlx", max_tokens=3)
    text = written(log_dir)
    assert "[DEBUG] Prompt cache restore: cached_tokens=0 uncached_tokens=5\n" in text
    assert "slot" not in text


async def test_without_sensitive_data(log_dir: Path):
    """Neither a question nor an answer is written, if LM Studio is set so."""
    async with serve_one(log_dir, switches=Switches(log_sensitive=False)) as (simulator, http):
        simulator.load(LLM)
        await chat(http)
    text = written(log_dir)
    assert "Received request: POST to /v1/chat/completions with body [Hidden]\n" in text
    assert f"[INFO][{LLM}] Generated prediction:  [Hidden]\n" in text
    assert "secret" not in text
    assert "simulated" not in text


async def test_the_old_records(log_dir: Path):
    """Versions before 0.4 wrote the request's figures, and never its text."""
    async with serve_one(log_dir, switches=Switches(old_log=True)) as (simulator, http):
        simulator.load(LLM)
        answer = await chat(http, temperature=0.5, top_k=7, max_tokens=3)
        async with http.post("/v1/embeddings", json={"model": EMBEDDING, "input": "a secret text"}):
            pass
    text = written(log_dir)
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
        rf"^{STAMP}\[INFO\]\[LM STUDIO SERVER\] Running embedding on 1 inputs\.$",
    ):
        assert re.search(pattern, text, re.MULTILINE), pattern
    assert "secret" not in text
    assert "slot" not in text


async def test_calls_of_the_sdk(http: aiohttp.ClientSession, log_dir: Path):
    """Each one is a record with its client, and so is each client."""
    async with http.ws_connect("/llm") as raw:
        socket = Socket(raw)
        await socket.authenticate("me")
        await socket.call("listLoaded")
        await socket.call("unloadModel", {"identifier": "nobody"})
    created, listed, unloading, failed = records(log_dir)[:4]
    assert created == "[DEBUG] [Client=me] Client created.\n"
    assert listed == "[DEBUG] [Client=me][Endpoint=listLoaded] Listing loaded models\n"
    assert unloading == "[DEBUG] [Client=me][Endpoint=unloadModel] Unloading model\n"
    assert failed == (
        "[ERROR] [Client=me][Endpoint=unloadModel] Error in RPC handler: "
        'Error: Cannot find a model with the identifier "nobody"\n'
    )


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
    with log.listen() as events:
        for number in range(1500):
            log.write("DEBUG", str(number))
        assert events.qsize() == 1000
        assert str(events.get_nowait().data["content"]).endswith("[DEBUG] 500")
