"""The scope of a request target below LM Studio's prefixes, in every spelling."""

from __future__ import annotations

import pytest

from lmgateway.web.operations.areas import ApiStyle, Area, Need, studio_area

MACHINE_CHANGES = r"""
    /api/v1/models/load /api/v1/models/unload /api/v1/models/download /api/v1/models/download/status/job_1
    /api/v1/models/load/ /api/v1/models/load?x=1 /api/v1//models///load //api//v1/models/load
    /api/v1/MODELS/Load /api/v1/models/%6coad /api/v1/models/%256Coad /api/v1/models%2fload
    /api/v1/%2fmodels/load http://h/api/v1/models/LOAD /api/v1/models\load /api/v1/models%5Cload
    /api/v1/models/%5c/load
""".split()
OTHERS = """
    /api/v1/models /api/v1/chat?x=/api/v1/models/load /api/v0/models/load /v1/models/load /models/load
    //v1/v1/chat//completions
""".split()


@pytest.mark.parametrize("raw", MACHINE_CHANGES)
def test_what_changes_the_machine_is_recognised(raw: str) -> None:
    """Loading, unloading and downloading need the same scope as /admin, in every spelling."""
    area = studio_area(raw)
    assert (area.scope, area.is_for_pages, area.is_closed_to_pages) == ("models", False, True)


@pytest.mark.parametrize("raw", OTHERS)
def test_everything_else_is_inference(raw: str) -> None:
    area = studio_area(raw)
    assert (area.scope, area.is_for_pages, area.is_closed_to_pages) == ("inference", True, False)


@pytest.mark.parametrize(
    ("raw", "version", "style"),
    [
        ("/v1/chat/completions", False, "openai"),
        ("/v1/chat/completions", True, "openai"),
        ("/v1/messages", False, "anthropic"),
        ("/messages/count_tokens?beta=true", False, "anthropic"),
        ("/v1/%6dessages", False, "anthropic"),
        ("/v1/messages/../x", False, "anthropic"),
        ("//v1/v1//messages", False, "anthropic"),
        ("/v1/messagesx", False, "openai"),
        ("/v1/models", False, "openai"),
        ("/v1/models/a/b", True, "anthropic"),
        ("/models", True, "anthropic"),
        ("/api/v1/models", True, "openai"),
        ("/v1/../models", False, "openai"),
    ],
)
def test_an_error_has_the_shape_of_the_paths_clients(raw: str, version: bool, style: ApiStyle) -> None:
    """Also where the target is refused, and on the paths that two APIs share."""
    assert studio_area(raw).error_style({"anthropic-version": "1"} if version else {}) == style


@pytest.mark.parametrize(
    ("scope", "style", "for_pages", "closed_to_pages"),
    [
        ("inference", "openai", True, False),
        ("inference", "anthropic", True, False),
        ("inference", "own", False, True),
        ("tools", "openai", True, False),
        ("models", "openai", False, True),
        ("observe", "own", False, True),
        ("log", "own", False, True),
        ("admin", "own", False, True),
        ("any", "own", False, True),
        ("health", "own", False, False),
        ("open", "own", False, False),
    ],
)
def test_pages_of_other_origins(scope: Need, style: ApiStyle, for_pages: bool, closed_to_pages: bool) -> None:
    """They may use LM Studio, see that the gateway lives, and nothing else."""
    area = Area(scope=scope, styles=(style,))
    assert (area.is_for_pages, area.is_closed_to_pages) == (for_pages, closed_to_pages)
