"""The pretended LM Studio as a whole: everything the faces towards HTTP and the SDK ask for."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import log_records, speech
from .catalogue import Catalogue, Domain, Model
from .downloads import Downloads
from .faults import AmbiguousModel, NoModelsLoaded, UnknownModel, WrongDomain
from .generation import Generation, OnProgress
from .instance import Instance
from .ledger import Ledger
from .memory import LoadOrder, Memory
from .pace import LOAD_STEPS, Pace
from .prompt import Prompt
from .server_log import ServerLog
from .vectors import embed

JIT_TTL_SECONDS = 3600
"""How long a model loaded just in time may idle, unless the request says otherwise."""

VERSION = "0.4.0"
BUILD = 1


class Studio:
    """Owner of models, instances, downloads, books and log."""

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        api_token: str = "",
        jit: bool = True,
        log_dir: Path | None = None,
        extra_models: Sequence[Mapping[str, object]] = (),
    ) -> None:
        self.pace = pace or Pace()
        self.api_token = api_token
        self.jit = jit
        self.authentication_seconds = 10.0
        self.ledger = Ledger()
        self.log = ServerLog(log_dir)
        self.catalogue = Catalogue(extra_models)
        self.memory = Memory(self.catalogue)
        self.downloads = Downloads(self.catalogue)
        self._loads: set[asyncio.Task[Instance]] = set()
        self._jit_loads: dict[str, asyncio.Task[Instance]] = {}

    def load(self, model_key: str, identifier: str | None = None) -> Instance:
        """At once, without a load's delay."""
        order = LoadOrder(model=self.on_disk(model_key), identifier=identifier)
        with self.memory.reserve(order) as reserved:
            return self.memory.place(order, reserved)

    async def load_slowly(self, order: LoadOrder, on_progress: OnProgress | None = None) -> Instance:
        """At the pace of a load, which is abandoned when the caller is cancelled.

        A load that doesn't fit fails half-way, as running out of memory does.
        """
        with self.memory.reserve(order) as reserved:
            for step in range(1, LOAD_STEPS + 1):
                fraction = step / LOAD_STEPS
                await self.pace.load(fraction)
                if fraction >= 0.5:
                    order.check_fits()
                if on_progress is not None:
                    await on_progress(fraction)
            return self.memory.place(order, reserved)

    async def load_regardless(self, order: LoadOrder) -> Instance:
        """As load_slowly(), but LM Studio goes on loading when the HTTP client that asked has left."""
        return await asyncio.shield(self._start_load(order))

    async def instance_for(self, name: str, domain: Domain, ttl_seconds: float | None = None) -> Instance:
        """The instance that answers an HTTP request for this model name, loaded just in time if need be."""
        found = self.resolve(name, domain)
        if isinstance(found, Instance):
            return found
        return await self._load_just_in_time(found, ttl_seconds or JIT_TTL_SECONDS)

    def resolve(self, name: str, domain: Domain) -> Instance | Model:
        """Who answers to this name over HTTP: an instance, or a model that must be loaded first."""
        instance = self.memory.find(name, domain)
        if instance is not None:
            return instance
        model = self.catalogue.get(name)
        if self.jit and model is not None:
            check_domain(model, domain)
            return model
        loaded = self.memory.instances(domain)
        if len(loaded) == 1:
            return loaded[0]
        if loaded:
            raise AmbiguousModel(name)
        if self.jit and name:
            raise UnknownModel(name, self.catalogue.keys())
        raise NoModelsLoaded

    @contextmanager
    def generate(self, instance: Instance, prompt: Prompt, api: str) -> Iterator[Generation]:
        """A generation under way: in the books, and keeping its instance from idling out."""
        with self.ledger.generation(api) as entry, instance.use("processingPrompt") as use:
            yield Generation(self, instance, prompt, entry, use)

    async def embed(
        self, instance: Instance, texts: Sequence[str], api: str
    ) -> tuple[list[Sequence[float]], int]:
        """One vector a text, and the tokens read."""
        tokens = sum(map(speech.count_pieces, texts))
        with self.ledger.generation(api) as entry, instance.use("computingEmbedding"):
            self.log.write("INFO", log_records.embedding(len(texts)))
            await self.pace.prompt(tokens)
            instance.check_loaded()
            entry.read_prompt(tokens)
            return [embed(text) for text in texts], tokens

    def on_disk(self, model_key: str, domain: Domain | None = None) -> Model:
        """By key, or by path. Raises UnknownModel or WrongDomain."""
        model = self.catalogue.get(model_key) or self.catalogue.at_path(model_key)
        if model is None:
            raise UnknownModel(model_key, self.catalogue.keys())
        if domain is not None:
            check_domain(model, domain)
        return model

    async def close(self) -> None:
        """Ends loads, downloads and timers, and closes the log's file."""
        loads = list(self._loads)
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        await self.downloads.close()
        self.memory.close()
        self.log.close()

    async def _load_just_in_time(self, model: Model, ttl_seconds: float) -> Instance:
        """Requests that come while a model loads wait for the one load."""
        load = self._jit_loads.get(model.model_key)
        if load is None:
            load = self._start_load(LoadOrder(model=model, ttl_seconds=ttl_seconds))
            self._jit_loads[model.model_key] = load
            load.add_done_callback(partial(self._forget_jit_load, model.model_key))
        return await asyncio.shield(load)

    def _start_load(self, order: LoadOrder) -> asyncio.Task[Instance]:
        load = asyncio.create_task(self.load_slowly(order))
        self._loads.add(load)
        load.add_done_callback(self._forget_load)
        return load

    def _forget_load(self, load: asyncio.Task[Instance]) -> None:
        self._loads.discard(load)
        if not load.cancelled():
            # Marks a failure as seen: whoever asked for the load may have left before it failed.
            load.exception()

    def _forget_jit_load(self, model_key: str, _: asyncio.Task[Instance]) -> None:
        del self._jit_loads[model_key]


def check_domain(model: Model, domain: Domain) -> None:
    if model.type != domain:
        raise WrongDomain(model.model_key, actual=model.type, expected=domain)
