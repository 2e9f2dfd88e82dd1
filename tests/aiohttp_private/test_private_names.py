"""aiohttp's private names: used in one package only, and each of them exists."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
import yarl
from aiohttp import http_writer, web, web_protocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict
from yarl import URL

import lmgateway

PACKAGE = Path(lmgateway.__file__).parent
PRIVATE = PACKAGE / "aiohttp_private"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
PUBLIC_MODULES = {"aiohttp", "aiohttp.abc", "aiohttp.web", "aiohttp.typedefs", "yarl"}
# By class: the names that lmgateway/aiohttp_private reads, calls or overrides.
OF_REQUEST_HANDLER = (
    "_buffer_paused",
    "_current_request",
    "_loop",
    "_messages",
    "_pause_reading_for_buffer",
    "_reading_paused",
    "_request_count",
    "_resume_transport_reading",
    "_task_handler",
    "_upgraded",
    "_waiter",
)
OF_RESPONSE_HANDLER = (
    "_drop_timeout",
    "_exception",
    "_loop",
    "_on_read_timeout",
    "_payload",
    "_read_timeout",
    "_read_timeout_handle",
    "_reading_paused",
    "_reschedule_timeout",
)
OF_CONNECTOR = (
    "_acquired",
    "_cleanup_handle",
    "_closed",
    "_conns",
    "_factory",
    "_get",
    "_loop",
    "_release",
)
OF_CONNECTION = ("_connector", "_key", "_protocol")
OF_SESSION = ("_loop", "_read_bufsize", "_retry_connection")
OF_STREAM_RESPONSE = (
    "_headers",
    "_keep_alive",
    "_must_be_empty_body",
    "_payload_writer",
    "_req",
    "_send_headers_immediately",
    "_start",
)
OF_SERVER = ("_kwargs", "_loop")
OF_STREAM_WRITER = ("_compress", "_headers_buf", "_headers_written", "_write")
OF_STREAM_READER = ("_buffer", "_buffer_offset", "_cursor", "_eof", "_loop", "_protocol", "_size")
OF_OTHERS = (
    "_ErrInfo",
    "_cache",
    "_loop",
    "_make_server",
    "_match_info",
    "_method",
    "_payload_writer",
    "_prepare_hook",
    "_rel_url",
    "_replace",
    "_serialize_headers",
)
ALL = {
    *OF_REQUEST_HANDLER,
    *OF_RESPONSE_HANDLER,
    *OF_CONNECTOR,
    *OF_CONNECTION,
    *OF_SESSION,
    *OF_STREAM_RESPONSE,
    *OF_SERVER,
    *OF_STREAM_WRITER,
    *OF_STREAM_READER,
    *OF_OTHERS,
}


@cache
def private_names(*libraries: ModuleType) -> frozenset[str]:
    """Every name with one leading underscore that the libraries use themselves."""
    files = (file for library in libraries for file in Path(str(library.__file__)).parent.rglob("*.py"))
    return frozenset(name for file in files for name in underscored(ast.parse(file.read_text())))


def underscored(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.alias)):
            name = node.name
        else:
            continue
        if name.startswith("_") and not name.startswith("__"):
            yield name


def own_names(tree: ast.AST) -> set[str]:
    """What a module itself defines, assigns or lists in __slots__."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_stored(node)}
    return found | {node.name for node in ast.walk(tree) if isinstance(node, FUNCTIONS)}


def is_stored(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


def trees(*, is_private: bool) -> dict[str, ast.Module]:
    files = (file for file in PACKAGE.rglob("*.py") if (PRIVATE in file.parents) == is_private)
    return {str(file.relative_to(PACKAGE)): ast.parse(file.read_text()) for file in files}


def test_modules_that_are_not_documented_are_imported_in_aiohttp_private_only() -> None:
    wrong = set()
    for name, tree in trees(is_private=False).items():
        for node in ast.walk(tree):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong |= {
                (name, module)
                for module in modules
                if module.split(".")[0] in {"aiohttp", "yarl"} and module not in PUBLIC_MODULES
            }
    assert wrong == set()


def test_private_names_are_used_in_aiohttp_private_only() -> None:
    """Another module may use such a name if it defines it."""
    private = private_names(aiohttp, yarl)
    wrong = {
        (file, name)
        for file, tree in trees(is_private=False).items()
        for name in set(underscored(tree)) & private - own_names(tree)
        if uses_aiohttp(tree)
    }
    assert wrong == set()


def uses_aiohttp(tree: ast.AST) -> bool:
    """True if the module imports aiohttp, yarl or aiohttp_private."""
    known = {"aiohttp", "yarl", "aiohttp_private"}
    return any(
        known & set((node.module or "").split("."))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    ) or any(
        alias.name.split(".")[0] in known
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    )


def test_every_private_name_in_aiohttp_private_is_in_the_table() -> None:
    private = private_names(aiohttp, yarl)
    used = {name for tree in trees(is_private=True).values() for name in set(underscored(tree)) & private}
    own = {"_connector", "_deadline", "_exchange", "_get", "_host", "_path", "_session", "_url", "_writer"}
    assert used - own - ALL == set()


@pytest.mark.parametrize("name", OF_REQUEST_HANDLER)
def test_a_request_handler_has_it(name: str) -> None:
    assert hasattr(RequestHandler, name)


@pytest.mark.parametrize("name", OF_RESPONSE_HANDLER)
async def test_a_response_handler_has_it(name: str) -> None:
    assert hasattr(ResponseHandler(asyncio.get_running_loop()), name)


@pytest.mark.parametrize("name", OF_CONNECTOR)
async def test_a_connector_has_it(name: str) -> None:
    async with aiohttp.TCPConnector() as connector:
        assert hasattr(connector, name)


@pytest.mark.parametrize("name", OF_CONNECTION)
async def test_a_connection_has_it(name: str) -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.TCPConnector() as connector:
        key = ClientRequest("GET", URL("http://h"), loop=loop).connection_key
        connection = Connection(connector, key, ResponseHandler(loop), loop)
        assert hasattr(connection, name)
        connection.close()


@pytest.mark.parametrize("name", OF_SESSION)
async def test_a_session_has_it(name: str) -> None:
    async with aiohttp.ClientSession() as session:
        assert hasattr(session, name)


@pytest.mark.parametrize("name", OF_STREAM_RESPONSE)
def test_a_stream_response_has_it(name: str) -> None:
    assert hasattr(web.StreamResponse(), name)


@pytest.mark.parametrize("name", OF_SERVER)
async def test_a_server_has_it(name: str) -> None:
    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        raise NotImplementedError

    assert hasattr(web.Server(handler), name)


@pytest.mark.parametrize("name", OF_STREAM_WRITER)
async def test_a_stream_writer_has_it(name: str) -> None:
    loop = asyncio.get_running_loop()
    assert hasattr(StreamWriter(ResponseHandler(loop), loop), name)


@pytest.mark.parametrize("name", OF_STREAM_READER)
async def test_a_stream_reader_has_it(name: str) -> None:
    loop = asyncio.get_running_loop()
    assert hasattr(StreamReader(ResponseHandler(loop), 1, loop=loop), name)


async def test_the_others_are_there() -> None:
    assert hasattr(web_protocol, "_ErrInfo")
    headers = CIMultiDict(A="b")
    assert web.StreamResponse(_real_headers=headers).headers is headers
    head = http_writer._serialize_headers("GET / HTTP/1.1", headers)
    assert head == b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    assert hasattr(RawRequestMessage, "_replace")
    assert hasattr(web.AppRunner, "_make_server")
    assert hasattr(yarl.URL("http://h/p"), "_cache")
    assert hasattr(web.Request, "match_info")
    assert {"_match_info", "_payload_writer"} <= web.Request.ATTRS
