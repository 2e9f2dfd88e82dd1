"""LM Studio's errors, as the error objects of its SDK's protocol."""

from collections.abc import Iterable
from itertools import islice

SAMPLE = 10
"""How many known names an error quotes, so that its reader can spot a typing error."""

EXAMPLES = 3
"""How many models an unknown name's error suggests."""


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
    """No loaded instance matches a query."""

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
    """The referenced instance was unloaded."""

    def __init__(self) -> None:
        super().__init__("Model unloaded.", display_data={"code": "generic.specificModelUnloaded"})


class CacheFull(Fault):
    """The KV cache that the running requests share is full; all of them fail, and the model stays loaded."""

    def __init__(self) -> None:
        super().__init__("Channel Error")


class ModelCrashed(Fault):
    """The engine of the instance ended by itself, and the instance is gone."""

    def __init__(self) -> None:
        super().__init__("The model has crashed without additional information. (Exit code: null)")


class WrongDomain(Fault):
    """The name is an embedding model's where an LLM is required, or the other way round."""

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
    """A load failed, mostly for lack of memory. It has no code: the engine's reason is in the cause."""

    def __init__(self, cause: str | None, *, title: str = "Failed to load model") -> None:
        super().__init__(title, cause=cause)

    @property
    def reason(self) -> str:
        return self.cause or self.title


class GuardrailRefusal(LoadFailed):
    """LM Studio didn't begin a load that would exceed the memory. Its sentence is the title."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            None,
            title="Model loading was stopped due to insufficient system resources. Under the current "
            f"settings, this model requires approximately {size_bytes / 1e9:.2f} GB of memory, and "
            "continuing to load it would likely overload your system and cause it to freeze. If you think "
            "this is incorrect, you can adjust the model loading guardrails in settings.",
        )


class LoadCancelled(Fault):
    """The client cancelled its load."""

    def __init__(self) -> None:
        super().__init__("Operation canceled.")


class IdentifierInUse(Fault):
    """The identifier is in use already."""

    def __init__(self, identifier: str) -> None:
        super().__init__(
            f'Model loading failed: the identifier "{identifier}" is already in use',
            suggestion="Choose another identifier, or unload the other instance first.",
        )


class NoModelsLoaded(Fault):
    """No model is loaded, and just-in-time loading is off. Only the HTTP APIs raise it."""

    def __init__(self) -> None:
        super().__init__(
            "No models loaded. Please load a model in the developer page or use the 'lms load' command."
        )


class AmbiguousModel(Fault):
    """Several instances are loaded and the name matches none of them. Only the HTTP APIs raise it."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        models = "\n".join(known)
        super().__init__(
            f'Model "{name}" not found. Please specify a valid model.\n\nYour models:\n\n{models}'
        )


class InvalidModelIdentifier(Fault):
    """The name is no model's, with just-in-time loading. Only the HTTP APIs raise it."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        examples = ", ".join(islice(known, EXAMPLES))
        super().__init__(
            f'Invalid model identifier "{name}". Please specify a valid downloaded model (e.g., {examples}).'
        )


class JustInTimeLoadFailed(Fault):
    """The load that a request began failed. Only the HTTP APIs raise it."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f'Failed to load model "{name}". Error: {reason}')


class ExplicitLoadFailed(Fault):
    """The load that `/api/v1/models/load` began failed."""

    def __init__(self, name: str, domain: str, reason: str) -> None:
        kind = "LLM" if domain == "llm" else "embedding model"
        super().__init__(f"Failed to load {kind} '{name}': Error: {reason}")


class ContextOverflow(Fault):
    """The prompt is as long as the context, or longer."""

    def __init__(self, prompt_tokens: int, context_length: int) -> None:
        super().__init__(
            f"Input does not fit in context length. The input has {prompt_tokens} tokens, "
            f"but the context length only supports {context_length} tokens."
        )
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length


class ContextFull(Fault):
    """The prompt and its answer have filled the context, which this engine can't shift."""

    def __init__(self, context_length: int, architecture: str | None) -> None:
        super().__init__(
            f"Reached context length of {context_length} tokens with model (arch: {architecture}) "
            "that does not currently support mid-generation context overflow"
        )


class ContextFullMlx(Fault):
    """ContextFull, in the words of Apple's MLX engine."""

    def __init__(self) -> None:
        super().__init__("Context size has been exceeded.")


def _sample_of_loaded(loaded: Iterable[str]) -> dict[str, object]:
    identifiers = list(loaded)
    return {"loadedModelsSample": identifiers[:SAMPLE], "totalLoadedModels": len(identifiers)}
