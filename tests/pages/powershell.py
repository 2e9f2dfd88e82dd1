"""What Windows PowerShell 5.1 accepts, checked without running it: the tests' machines have none."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_powershell.language()))
# Commands of a Unix shell; the first two are aliases of Invoke-WebRequest, which takes other arguments.
_NOT_ON_WINDOWS = {"curl", "wget", "export", "unset", "source", "python3", "sudo", "cat", "rm"}
# The grammar is that of later versions.
_LATER_OPERATORS = {"&&", "||"}


def mistakes(text: str) -> list[str]:
    """Return what isn't PowerShell, came after 5.1, or is another command on Windows."""
    root = _PARSER.parse(text.encode()).root_node
    if root.has_error:
        wrong = next(node for node in _all(root) if node.is_error or node.is_missing)
        return [f"line {wrong.start_point.row + 1} isn't PowerShell"]
    nodes = list(_all(root))
    found = [f"{node.type} came after 5.1" for node in nodes if node.type in _LATER_OPERATORS]
    for node in (node for node in nodes if node.type == "command"):
        name = _text(next(child for child in node.children if child.type.startswith("command_name")))
        literals = (each for each in _all(node) if each.type == "string_literal")
        if name.lower() in _NOT_ON_WINDOWS:
            found.append(f"{name} isn't what it is in a Unix shell")
        # Cmdlets have a hyphen in their names, programs get their arguments as one text.
        if "-" not in name and any('"' in _text(each)[1:-1] for each in literals):
            found.append(f"5.1 drops the quotes within the arguments of {name}")
    return found


def commands(text: str) -> list[str]:
    """Return each command with its arguments."""
    root = _PARSER.parse(text.encode()).root_node
    return [_text(node) for node in _all(root) if node.type == "command"]


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)


def _text(node: Node) -> str:
    assert node.text is not None
    return node.text.decode()
