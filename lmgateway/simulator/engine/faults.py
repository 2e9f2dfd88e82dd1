"""What LM Studio refuses, as the error objects of its SDK's protocol."""

from collections.abc import Iterable

SAMPLE = 10
"""How many known names an error quotes, so that its reader can spot a typing error."""


class Fault(Exception):
    """An error as LM Studio serializes it. Clients decide on `display_data["code"]`, never on a title."""

    def __init__(
        self,
        title: str,
        *,
        cause: str | None = None,
        suggestion: str | None = None,
        display_data: dict[str, object] | None = None,
    ) -> None:
        super().__init__(title)
        self.title = title
        self.cause = cause
        self.suggestion = suggestion
        self.display_data = display_data

    def serialized(self) -> dict[str, object]:
        """`{"title","cause"?,"suggestion"?,"displayData"?,"rootTitle"}`: left out, never null."""
        fields = {
            "title": self.title,
            "cause": self.cause,
            "suggestion": self.suggestion,
            "displayData": self.display_data,
            "rootTitle": self.title,
        }
        return {key: value for key, value in fields.items() if value is not None}


class UnknownModel(Fault):
    """No model on disk has this key."""

    def __init__(self, path: str, known: Iterable[str]) -> None:
        paths = list(known)
        super().__init__(
            f'Cannot find a model with path "{path}"',
            suggestion="Run `lms ls` to see the models on disk.",
            display_data={
                "code": "generic.pathNotFound",
                "path": path,
                "availablePathsSample": paths[:SAMPLE],
                "totalModels": len(paths),
            },
        )


class UnknownIdentifier(Fault):
    """No loaded instance has this identifier."""

    def __init__(self, identifier: str, loaded: Iterable[str]) -> None:
        super().__init__(
            f'Cannot find a model with the identifier "{identifier}"',
            suggestion="Run `lms ps` to see the loaded models.",
            display_data={
                "code": "generic.identifierNotFound",
                "identifier": identifier,
                **_sample_of_loaded(loaded),
            },
        )


class NothingMatches(Fault):
    """No loaded instance answers to a query."""

    def __init__(self, query: dict[str, object], loaded: Iterable[str]) -> None:
        super().__init__(
            "No loaded model satisfies all requirements specified in the query.",
            suggestion="Run `lms ps` to see the loaded models.",
            display_data={
                "code": "generic.noModelMatchingQuery",
                "query": query,
                **_sample_of_loaded(loaded),
            },
        )


class InstanceUnloaded(Fault):
    """The very instance that was meant has left memory."""

    def __init__(self) -> None:
        super().__init__("Model unloaded.", display_data={"code": "generic.specificModelUnloaded"})


class WrongDomain(Fault):
    """An LLM was asked for where the name is an embedding model's, or the other way round."""

    def __init__(self, path: str, *, actual: str, expected: str) -> None:
        super().__init__(
            f'Model "{path}" is not of the expected type: it is "{actual}", not "{expected}"',
            display_data={
                "code": "generic.domainMismatch",
                "path": path,
                "actualDomain": actual,
                "expectedDomain": expected,
            },
        )


class LoadFailed(Fault):
    """Out of memory above all. Has no code: the reason is in the cause."""

    def __init__(self, cause: str) -> None:
        super().__init__("Failed to load model", cause=cause)


class LoadCancelled(Fault):
    """The client took its load back."""

    def __init__(self) -> None:
        super().__init__("Operation canceled.")


class IdentifierInUse(Fault):
    """A second instance would have the first one's identifier."""

    def __init__(self, identifier: str) -> None:
        super().__init__(
            f'Model loading failed: the identifier "{identifier}" is already in use',
            suggestion="Choose another identifier, or unload the other instance first.",
        )


class NoModelsLoaded(Fault):
    """Nothing in memory could answer, and nothing may be loaded just in time. Told over HTTP only."""

    def __init__(self) -> None:
        super().__init__(
            "No models loaded. Please load a model in the developer page or use the `lms load` command."
        )


class AmbiguousModel(Fault):
    """Several instances could answer and the name fits none of them. Told over HTTP only."""

    def __init__(self, name: str) -> None:
        super().__init__(f'Model "{name}" is not loaded, and several others are.')


def _sample_of_loaded(loaded: Iterable[str]) -> dict[str, object]:
    identifiers = list(loaded)
    return {"loadedModelsSample": identifiers[:SAMPLE], "totalLoadedModels": len(identifiers)}
