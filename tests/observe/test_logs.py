"""The format of log lines, and what is never in one."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import re
from contextlib import suppress

import pytest

from lmgateway.observe import access_log, logs

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
logger = logging.getLogger("lmgateway.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log_to():
    """Configure the process's logging for one test: `log_to("plain")` returns what is written to."""
    root, server = logging.getLogger(), logging.getLogger("aiohttp.server")
    before = root.level, root.handlers, list(server.filters)
    root.handlers = []

    def configure(style, *, level="info", stream=None):
        stream = stream or io.StringIO()
        logs.configure(level, style, stream)
        return stream

    yield configure
    root.level, root.handlers, server.filters = before
    logging.getLogger().setLevel(before[0])  # forgets which levels were cached as enabled


def fail(message: str) -> None:
    logger.error("req_1 failed", exc_info=ValueError(message))


@pytest.mark.parametrize("style", ["plain", "auto"])
def test_a_plain_line_has_time_level_logger_and_message(log_to, style):
    """A journal gets one line for each record, without colours."""
    out = log_to(style)
    logger.warning("%s took %d s", "qwen", 3)
    assert re.fullmatch(rf"{TIMESTAMP} WARNING lmgateway\.test: qwen took 3 s\n", out.getvalue())


@pytest.mark.parametrize(("style", "coloured"), [("auto", True), ("plain", False), ("json", False)])
def test_only_a_terminal_gets_colours(log_to, style, coloured):
    """`auto` on a terminal is coloured; plain and json are not."""
    out = log_to(style, stream=Terminal())
    logger.info("hello")
    assert ("\x1b[32m" in out.getvalue()) is coloured


def test_json_is_one_object_a_line_with_its_fields(log_to):
    """A machine reads each record's parts by name."""
    out = log_to("json")
    logger.info(
        "GET %s", "/v1/a\nb", extra={"fields": lambda: {"path": "/v1/a\nb", "status": 200, "error": None}}
    )
    [line] = out.getvalue().splitlines()
    entry = json.loads(line)
    assert re.fullmatch(TIMESTAMP, entry.pop("timestamp"))
    assert entry.pop("message").startswith("GET /v1/a")
    assert entry == {
        "level": "info",
        "logger": "lmgateway.test",
        "path": "/v1/a\nb",
        "status": 200,
        "error": None,
    }


def test_a_traceback(log_to):
    """It is a field of the JSON line, and follows a plain line."""
    out = log_to("json")
    fail("boom")
    assert "ValueError: boom" in json.loads(out.getvalue())["traceback"]
    out = log_to("plain")
    fail("boom")
    head, *_, last = out.getvalue().splitlines()
    assert head.endswith("req_1 failed")
    assert last == "ValueError: boom"


HOSTILE = "a\r\n2026-01-01T00:00:00.000Z INFO x: forged\x00\x1b[2J\x7f\x85\x9b\u2028\u2029\ud800z"


@pytest.mark.parametrize("style", ["plain", "json"])
def test_no_character_starts_a_line_or_an_escape_sequence(log_to, style):
    """A client can't forge a line, or control the terminal that shows the log."""
    out = log_to(style)
    logger.info("path %s", HOSTILE)
    assert out.getvalue().endswith("\n")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", out.getvalue()[:-1])


def test_no_character_of_a_traceback_starts_an_escape_sequence(log_to):
    """An exception that quotes a client can't control a terminal either."""
    out = log_to("plain")
    fail("bad header \x1b[2J")
    assert "\x1b" not in out.getvalue()


def test_a_field_that_is_no_text_does_not_lose_the_record(log_to):
    """One record for each request, whatever the bytes."""
    out = log_to("json")
    logger.info("x", extra={"fields": lambda: {"path": "\udcff"}})
    assert json.loads(out.getvalue())["message"] == "x"


@pytest.mark.parametrize(
    ("level", "written"),
    [("error", ["ERROR"]), ("warn", ["WARNING", "ERROR"]), ("warning", ["WARNING", "ERROR"]),
     ("info", ["INFO", "WARNING", "ERROR"]), ("debug", ["DEBUG", "INFO", "WARNING", "ERROR"])],
)  # fmt: skip
def test_the_level_filters(log_to, level, written):
    """Records below the configured level aren't written."""
    out = log_to("plain", level=level)
    for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(number, "x")
    assert [line.split()[1] for line in out.getvalue().splitlines()] == written


def lines_of(reading: int) -> list[str]:
    os.set_blocking(reading, False)
    read = b""
    with suppress(BlockingIOError):
        while piece := os.read(reading, 65536):
            read += piece
    return read.decode().splitlines()


def test_a_pipe_without_a_reader_delays_nothing_and_loses_the_newest(log_to):
    """When it is read again, the first lines arrive in order, and a line counts the lost ones."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        log_to("plain", stream=stream)
        logged = 0
        while logged < 10_000:
            logger.info("line %d %s", logged, "x" * 100)
            logged += 1
        arrived = lines_of(reading)
        logger.info("after")
        while more := lines_of(reading):
            arrived += more
            logger.info("again")
            if arrived[-1].endswith("again"):
                break
    numbers = [int(line.split(" line ")[1].split()[0]) for line in arrived if " line " in line]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) < logged
    assert f"{logged - len(numbers)} log lines were lost, because their reader was too slow" in arrived


def test_a_closed_pipe_delays_nothing(log_to):
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        log_to("plain", stream=stream)
        os.close(reading)
        logger.info("into nothing")
        logger.info("again")


def test_the_pipe_stays_blocking_for_other_processes(log_to):
    """The gateway's non-blocking writes don't change how a shell writes to the same pipe."""
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as stream:
        log_to("plain", stream=stream)
        logger.info("hello")
        assert os.get_blocking(stream.fileno())


def access_line(request_id):
    return access_log.AccessLine(
        client="127.0.0.1",
        key="owner",
        method="GET",
        path="/v1/models",
        status=200,
        error_code=None,
        total_ms=3,
        request_id=request_id,
        created=1.5,
    )


async def test_access_lines_are_written_in_one_batch(log_to):
    """Lines of requests that end together are written in order by one write, a moment later."""
    out = log_to("plain")
    for number in range(3):
        access_log.write(access_line(f"req_{number}"))
    assert out.getvalue() == ""
    while not out.getvalue():
        await asyncio.sleep(0.001)
    lines = out.getvalue().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["req_0", "req_1", "req_2"]
    pattern = rf"{TIMESTAMP} INFO    lmgateway\.access: 127\.0\.0\.1 owner GET /v1/models 200 \d+ ms req_0"
    assert re.fullmatch(pattern, lines[0])


async def test_a_warning_does_not_overtake_access_lines(log_to):
    """The batch is written before the warning, and at the end."""
    out = log_to("json")
    access_log.write(access_line("req_1"))
    logger.warning("look")
    access_log.write(access_line("req_1"))
    logging.getLogger().handlers[0].flush()
    entries = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [entry.get("requestId", entry["message"]) for entry in entries] == ["req_1", "look", "req_1"]
    assert (entries[0]["status"], entries[0]["key"]) == (200, "owner")


async def test_other_handlers_get_access_lines_too(log_to, caplog):
    """An application that embeds the gateway can add its own."""
    with caplog.at_level("INFO"):
        access_log.write(access_line("req_1"))
    (record,) = caplog.records
    assert record.getMessage().endswith("req_1")
    assert record.fields()["path"] == "/v1/models"


def test_a_line_that_can_not_be_formatted_fails_nobody(log_to):
    """The error is logged once, and the other lines are written."""
    out = log_to("plain")
    logger.info("before")
    for _ in range(3):
        logger.info("%d items", "many")
    logger.info("after")
    lines = out.getvalue().splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "before",
        "a log line of lmgateway.test can't be formatted (TypeError), which isn't logged again",
        "after",
    ]


async def test_a_gathered_line_that_can_not_be_formatted_loses_no_other(log_to):
    """Access lines are written together."""
    out = log_to("json")
    fields = {"client": "c", "key": "k", "method": "GET", "status": 200, "error_code": None, "total_ms": 1}
    for path in ("/a", object(), "/b"):
        line = access_log.AccessLine(**fields, path=path, request_id="r", created=1.0)
        access_log.write(line)
    logging.root.handlers[0].flush()
    entries = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [entry.get("path") for entry in entries] == ["/a", None, "/b"]
    assert entries[1]["level"] == "error"


def test_a_stream_that_was_closed_fails_nobody(log_to):
    out = log_to("plain")
    out.close()
    logger.info("into nothing")
