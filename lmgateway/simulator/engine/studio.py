"""The simulated LM Studio: all that its HTTP APIs and the SDK's protocol use."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from . import log_records, old_log_records, speech
from .catalogue import Catalogue, Domain, Model
from .clients import TOKEN, Clients
from .conversations import Conversations
from .downloads import Downloads
from .faults import (
    AmbiguousModel,
    InstanceUnloaded,
    InvalidModelIdentifier,
    JustInTimeLoadFailed,
    LoadFailed,
    NoModelsLoaded,
    UnknownModel,
    WrongDomain,
)
from .generation import Generation, OnProgress
from .generation_log import LoggedRequest, OldRecords, Records
from .instance import Instance
from .ledger import Ledger
from .load_faults import LoadFaults
from .load_order import LoadOrder
from .load_records import Origin
from .log_records import Task
from .memory import Memory
from .pace import LOAD_STEPS, Pace
from .prompt import Prompt
from .run import Run
from .server_log import ServerLog
from .slots import Status
from .switches import Switches
from .tasks import Tasks
from .vectors import embed

JIT_TTL_SECONDS = 3600
"""How long a model loaded just in time may idle, unless the request says otherwise."""

BUILD = 1


class Studio:
    """The owner of models, instances, downloads, SDK clients, ledger and log."""

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        api_token: str = "",
        switches: Switches | None = None,
        log_dir: Path | None = None,
        extra_models: Sequence[Mapping[str, object]] = (),
    ) -> None:
        if api_token and not TOKEN.fullmatch(api_token):
            raise ValueError("An API token of LM Studio is sk-lm-, 8 letters or digits, a colon and 20 more.")
        self.pace = pace or Pace()
        self.api_token = api_token
        self.switches = switches or Switches()
        self.authentication_seconds = 10.0
        self.ledger = Ledger()
        self.log = ServerLog(log_dir)
        self.clients = Clients(self.log)
        self.catalogue = Catalogue(extra_models)
        self.load_faults = LoadFaults()
        self.memory = Memory(self.catalogue, self.switches, self.ledger, self._free)
        self.downloads = Downloads(self.catalogue)
        self._task_numbers = itertools.count()
        self.conversations = Conversations()
        self._tasks = Tasks()
        self._jit_loads: dict[str, asyncio.Task[Instance]] = {}

    def load(
        self,
        model_key: str,
        identifier: str | None = None,
        *,
        ttl_seconds: float | None = None,
        origin: Origin = "hand",
    ) -> Instance:
        """Load a model at once, without the delay of a load, as its user does beside the gateway."""
        order = LoadOrder(
            model=self.on_disk(model_key), identifier=identifier, ttl_seconds=ttl_seconds, origin=origin
        )
        with self.memory.loading(order) as load:
            return self.memory.place(load)

    async def load_slowly(self, order: LoadOrder, on_progress: OnProgress | None = None) -> Instance:
        """Load a model with a load's delays; cancelled with the caller.

        With AutoFit off, a load that exceeds the memory fails half-way, as in LM Studio.
        """
        order = order.fitted() if self.switches.auto_fit else order
        key = order.model.model_key
        with self.memory.loading(order) as load:
            fault = self.load_faults.take(key)
            for step in range(1, LOAD_STEPS + 1):
                fraction = step / LOAD_STEPS
                await self.pace.load(fraction, key)
                if fault is not None and fraction >= fault.at:
                    await fault.strike()
                if fraction >= 0.5:
                    self.memory.allocate(load)
                if on_progress is not None:
                    await on_progress(fraction)
            return self.memory.place(load)

    async def load_regardless(self, order: LoadOrder) -> Instance:
        """Like load_slowly(), but the load continues when the HTTP client disconnects, as in LM Studio."""
        return await asyncio.shield(self._tasks.start(self.load_slowly(order)))

    async def unload(self, identifier: str, domain: Domain | None = None, *, by: Origin) -> None:
        """Unload an instance. It goes on when the client leaves. Raises UnknownIdentifier or WrongDomain."""
        await asyncio.shield(self._tasks.start(self._unload(identifier, domain, by)))

    async def instance_for(self, name: str, domain: Domain, ttl_seconds: float | None = None) -> Instance:
        """Return the instance for this model name in an HTTP request, loaded just in time if necessary."""
        target = self.resolve(name, domain)
        if isinstance(target, Instance):
            return target
        try:
            return await self._load_just_in_time(target, ttl_seconds or JIT_TTL_SECONDS)
        except LoadFailed as failed:
            raise JustInTimeLoadFailed(name, failed.reason) from failed

    def resolve(self, name: str, domain: Domain) -> Instance | Model:
        """Resolve a model name of the HTTP APIs to an instance, or to a model that must be loaded first."""
        instance = self.memory.find(name, domain)
        if instance is not None:
            return instance
        model = self.catalogue.get(name)
        if self.switches.jit and model is not None:
            check_domain(model, domain)
            return model
        if self.switches.jit and name:
            raise InvalidModelIdentifier(name, self.catalogue.keys())
        loaded = self.memory.instances(domain)
        if len(loaded) == 1:
            return loaded[0]
        if loaded:
            raise AmbiguousModel(name, self.catalogue.keys())
        raise NoModelsLoaded

    def auto_evict(self, domain: str) -> list[Instance]:
        """Unload what a just-in-time load replaces, and return it."""
        return self.memory.evict(domain) if self.switches.auto_evict else []

    @contextmanager
    def generate(
        self, instance: Instance, prompt: Prompt, api: str, *, stream: bool = False
    ) -> Iterator[Generation]:
        """Run a generation: it is counted and logged, takes a slot, and its instance doesn't become idle."""
        number = next(self._task_numbers)
        kind = OldRecords if self.switches.old_log else Records
        task = Task(slot=number % instance.slots.count, number=number)
        log = kind(self.log, LoggedRequest(api, stream), task)
        with self._run(instance, "processingPrompt", api) as run:
            generation = Generation(self, instance, prompt, run, log)
            with log.until_end(generation):
                yield generation

    def log_answer(self, instance: Instance, api: str, answer: object) -> None:
        """Log an answer that isn't streamed; JSON."""
        if self.log.has_readers and not self.switches.old_log:
            record = log_records.generated(api, answer, sensitive=self.switches.log_sensitive)
            self.log.write("INFO", record, instance.identifier)

    async def embed(
        self, instance: Instance, texts: Sequence[str], api: str
    ) -> tuple[list[Sequence[float]], int]:
        """Return one vector for each text, and the number of tokens."""
        tokens = sum(map(speech.count_pieces, texts))
        with self._run(instance, "computingEmbedding", api) as run:
            source = old_log_records.SERVER if self.switches.old_log else instance.identifier
            self.log.write("INFO", log_records.embedding(len(texts)), source)
            await run.get_slot()
            await asyncio.shield(run.process_prompt(partial(run.read_prompt, self.pace, tokens)))
            return [embed(text) for text in texts], tokens

    def on_disk(self, model_key: str, domain: Domain | None = None) -> Model:
        """Return a model by key or path. Raises UnknownModel or WrongDomain."""
        model = self.catalogue.get(model_key) or self.catalogue.at_path(model_key)
        if model is None:
            raise UnknownModel(model_key, self.catalogue.keys())
        if domain is not None:
            check_domain(model, domain)
        return model

    async def close(self) -> None:
        """End loads, prompts, downloads and timers, and close the log's file."""
        await self._tasks.close()
        await self.downloads.close()
        self.memory.close()
        self.log.close()

    async def _unload(self, identifier: str, domain: Domain | None, by: Origin) -> None:
        with self.memory.unloading(identifier, domain, by=by):
            await self.pace.unload(self.switches.unload_seconds)

    def _free(self, instance: Instance) -> None:
        if self.switches.memory_lag_seconds:
            self._tasks.start(self._free_later(instance))
        else:
            self.memory.room.give_back(instance.model)

    async def _free_later(self, instance: Instance) -> None:
        await self.pace.free(self.switches.memory_lag_seconds)
        self.memory.room.give_back(instance.model)

    @contextmanager
    def _run(self, instance: Instance, status: Status, api: str) -> Iterator[Run]:
        entry = self.ledger.begin(api)
        try:
            run = Run(instance, status, entry, self._tasks)
        except InstanceUnloaded:
            entry.leave()
            entry.abort()
            raise
        try:
            yield run
        except BaseException:
            run.abort()
            raise
        run.finish()

    async def _load_just_in_time(self, model: Model, ttl_seconds: float) -> Instance:
        """Requests for a model that is being loaded load one more instance, or join the load (`jit_race`)."""
        key = model.model_key
        load = None if self.switches.jit_race else self._jit_loads.get(key)
        if load is None:
            self.auto_evict(model.type)
            order = LoadOrder(model=model, ttl_seconds=ttl_seconds, origin="jit")
            load = self._jit_loads[key] = self._tasks.start(self.load_slowly(order))
            load.add_done_callback(lambda _: self._jit_loads.pop(key, None))
        return await asyncio.shield(load)


def check_domain(model: Model, domain: Domain) -> None:
    if model.type != domain:
        raise WrongDomain(model.model_key, actual=model.type, expected=domain)
