"""What a generation writes to the server log, and sends to its live subscribers."""

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from . import log_records, old_log_records
from .faults import Fault
from .generation import Generation
from .log_records import Task, Timing
from .server_log import ServerLog

# Assumed: these fields are in the SDK's schema, and nobody has published values.
ENGINE = {
    "engineName": "llama.cpp-linux-x86_64-nvidia-cuda",
    "engineVersion": "2.10.0",
    "engineType": "llama.cpp",
}


class LoggedRequest(msgspec.Struct, frozen=True):
    """`api` is the ledger's name of the endpoint; those of the SDK begin with `sdk/`."""

    api: str
    stream: bool = False

    def is_http(self) -> bool:
        return not self.api.startswith("sdk/")


class GenerationLog:
    """The live events of one generation; a version's subclass writes its records."""

    def __init__(self, log: ServerLog, request: LoggedRequest, task: Task) -> None:
        self._log = log
        self._request = request
        self._task = task

    def began(self, generation: Generation) -> None:
        self._write_beginning(generation)
        self._log.publish(
            {
                "type": "llm.prediction.input",
                "input": generation.prompt.text,
                "modelPath": generation.instance.model.path,
                "modelIdentifier": generation.instance.identifier,
            }
        )

    def progressed(self, generation: Generation, fraction: float) -> None:
        self._log.write("INFO", log_records.prompt_progress(fraction), generation.instance.identifier)

    def produced_first_token(self, generation: Generation) -> None:
        pass

    @contextmanager
    def until_end(self, generation: Generation) -> Iterator[None]:
        """Surrounds the whole generation."""
        try:
            yield
        except BaseException as exc:
            self._write_abort(generation, exc)
            raise
        else:
            self._write_end(generation)
        finally:
            self._log.publish(
                {
                    "type": "llm.prediction.output",
                    "output": generation.text_so_far,
                    "stats": generation.stats(),
                    "modelIdentifier": generation.instance.identifier,
                }
            )

    def _write_beginning(self, generation: Generation) -> None:
        pass

    def _write_end(self, generation: Generation) -> None:
        pass

    def _write_abort(self, generation: Generation, exc: BaseException) -> None:
        pass


class OldRecords(GenerationLog):
    """The records before version 0.4."""

    def _write_beginning(self, generation: Generation) -> None:
        log, prompt, tokens = self._log, generation.prompt, generation.prompt_tokens
        context_length, limit = generation.instance.context_length, prompt.limits.max_tokens
        log.write("INFO", log_records.running(prompt.messages), old_log_records.SERVER)
        log.write("DEBUG", old_log_records.sampling_params(prompt.sampling))
        log.write("DEBUG", old_log_records.generate(context_length, limit, tokens))
        log.write("DEBUG", old_log_records.cache_reuse(tokens))
        log.write("DEBUG", old_log_records.BEGIN_PROCESSING_PROMPT)


class Records(GenerationLog):
    """The records of version 0.4: the HTTP server's at INFO, and the engine's at DEBUG."""

    def produced_first_token(self, generation: Generation) -> None:
        if self._request.is_http() and self._request.stream:
            self._log.write("INFO", log_records.STREAM_BEGAN, generation.instance.identifier)

    def _write_beginning(self, generation: Generation) -> None:
        instance, request = generation.instance, self._request
        if request.is_http():
            for text in log_records.opening(request.api, generation.prompt.messages, stream=request.stream):
                self._log.write("INFO", text, instance.identifier)
        if instance.model.is_mlx():
            self._write_engine(generation, log_records.prompt_cache(generation.prompt_tokens))
        else:
            context_length, tokens = instance.context_length, generation.prompt_tokens
            self._write_engine(generation, log_records.launched(self._task, context_length, tokens))
        self.progressed(generation, 0.0)

    def _write_end(self, generation: Generation) -> None:
        if not generation.instance.model.is_mlx():
            prompt = Timing(generation.seconds_to_first_token, generation.prompt_tokens)
            answer = Timing(generation.seconds_generating, generation.completion_tokens)
            released = log_records.released(self._task, generation.total_tokens)
            self._write_engine(generation, f"{log_records.timed(self._task, prompt, answer)}\n{released}")
            self._write_engine(generation, log_records.assigned(self._task))
        if self._request.is_http() and self._request.stream:
            text = log_records.finished_stream(self._request.api)
            self._log.write("INFO", text, generation.instance.identifier)

    def _write_abort(self, generation: Generation, exc: BaseException) -> None:
        """By an error, or by the client; the engine is gone with an unloaded model."""
        instance = generation.instance
        if self._request.is_http():
            if isinstance(exc, Fault):
                self._log.write(
                    "ERROR", log_records.failed(self._request.api, exc.title), instance.identifier
                )
            else:
                self._log.write("INFO", log_records.DISCONNECTED, instance.identifier)
        if instance.loaded and not instance.model.is_mlx():
            self._write_engine(generation, log_records.released(self._task, generation.total_tokens))

    def _write_engine(self, generation: Generation, message: str) -> None:
        """Write the engine's text to the server log, and send it as the runtime's own event."""
        self._log.write("DEBUG", message)
        self._log.publish(
            {
                "type": "runtime.log",
                "level": "debug",
                "message": message,
                **ENGINE,
                "modelIdentifier": generation.instance.identifier,
                "instanceReference": generation.instance.reference,
            }
        )
