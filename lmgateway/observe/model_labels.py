"""Under which model's name a request is counted: one that LM Studio lists, or `other`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .faults import Faults
from .record import RequestRecord

# Clients choose names, so only those that LM Studio lists are used. All others share this one.
OTHER = "other"
# How many records with names that weren't listed when they ended wait for a newer list.
MAX_UNLISTED = 1000
# How many listed names are remembered.
MAX_LISTED = 1000
# How many names are labels of metrics: clients may choose the identifiers of instances.
MAX_LABELS = 500

Consumer = Callable[[RequestRecord, str], None]


class BoundedLabels:
    """The names that are labels of metrics. Those beyond the first 500 share `other`."""

    def __init__(self) -> None:
        self._names = {"", OTHER}

    def of(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= MAX_LABELS + 2:
            return OTHER
        self._names.add(name)
        return name


class ModelLabels:
    """Passes each record on with the model's name, empty if it has none.

    It owns the records that wait because their box hasn't listed the name: it may be on a newer list. They
    wait until `settle` is called.
    """

    def __init__(
        self,
        is_listed: Callable[[str], bool],
        list_names: Callable[[], Awaitable[None]],
        faults: Faults,
    ) -> None:
        """`list_names` requests newer lists, by which `is_listed` decides from then on."""
        self._is_listed = is_listed
        self._list_names = list_names
        self._faults = faults
        # Names that were listed once. Searching the lists takes as long as counting a request.
        self._listed = {""}
        self._unlisted: list[RequestRecord] = []
        self._consumers: list[Consumer] = []

    def add_consumer(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)

    @property
    def has_unlisted(self) -> bool:
        """True if records wait for a newer list."""
        return bool(self._unlisted)

    def add(self, record: RequestRecord) -> None:
        """Pass a record on, at once or when `settle` is called."""
        name = self._name_for(record)
        if name == OTHER and record.box:
            self._unlisted.append(record)
            if len(self._unlisted) >= MAX_UNLISTED:
                self.settle()
        else:
            self._pass_on(record, name)

    async def settle_by_newer_list(self) -> None:
        """Request a newer list, which may take a second, if records wait for one, and pass them on."""
        if number := len(self._unlisted):
            await self._list_names()
            self.settle(number)

    def settle(self, number: int | None = None) -> None:
        """Pass on all records that wait, or so many, with the names that are listed by now."""
        settled, self._unlisted = self._unlisted[:number], [] if number is None else self._unlisted[number:]
        for record in settled:
            self._pass_on(record, self._name_for(record))

    def _pass_on(self, record: RequestRecord, name: str) -> None:
        for consume in self._consumers:
            try:
                consume(record, name)
            except Exception:  # raised here, the other consumers and the other records would miss it
                self._faults.log("Counting a request")

    def _name_for(self, record: RequestRecord) -> str:
        """Return the name of the model that answered; of the one that was asked for if no other did."""
        return self.label(record.served_model or record.model or "")

    def label(self, name: str) -> str:
        """Return the name if it was listed by now, else `other`; none for none."""
        if name in self._listed:
            return name
        if not self._is_listed(name):
            return OTHER
        if len(self._listed) < MAX_LISTED:
            self._listed.add(name)
        return name
