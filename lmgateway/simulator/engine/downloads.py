"""Downloads of models."""

import secrets
from datetime import UTC, datetime, timedelta

from .catalogue import Catalogue
from .faults import Fault
from .pace import Pace
from .tasks import Tasks

SIZE_BYTES = 2_279_145_003
STEPS = 100


class Download:
    """A download job, with its simulated progress."""

    def __init__(self, model_key: str) -> None:
        self.model_key = model_key
        self.job_id = f"job_{secrets.token_hex(5)}"
        self.started_at = datetime.now(UTC)
        self.completed_at: datetime | None = None
        self.downloaded_bytes = 0

    def status(self) -> dict[str, object]:
        """Return its JSON in `/api/v1`: with the speed while it runs, with the end time afterwards."""
        shown: dict[str, object] = {
            "job_id": self.job_id,
            "status": "downloading" if self.completed_at is None else "completed",
            "total_size_bytes": SIZE_BYTES,
            "downloaded_bytes": self.downloaded_bytes,
            "started_at": _iso(self.started_at),
        }
        if self.completed_at is not None:
            return {**shown, "completed_at": _iso(self.completed_at)}
        now = datetime.now(UTC)
        speed = self.downloaded_bytes / max(0.001, (now - self.started_at).total_seconds())
        if speed > 0:
            remaining = timedelta(seconds=(SIZE_BYTES - self.downloaded_bytes) / speed)
            shown["estimated_completion"] = _iso(now + remaining)
        return {**shown, "bytes_per_second": speed}


class UnknownJob(Fault):
    """No download has this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f'Download job "{job_id}" not found')


class Downloads:
    """Owns the jobs and the tasks that advance them."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._jobs: dict[str, Download] = {}
        self._tasks = Tasks()

    def start(self, model_key: str, pace: Pace) -> Download:
        job = Download(model_key)
        self._jobs[job.job_id] = job
        self._tasks.start(self._run(job, pace))
        return job

    def get(self, job_id: str) -> Download:
        try:
            return self._jobs[job_id]
        except KeyError:
            raise UnknownJob(job_id) from None

    async def close(self) -> None:
        await self._tasks.close()

    async def _run(self, job: Download, pace: Pace) -> None:
        """A download uses a load's pace, in more and smaller steps."""
        for step in range(1, STEPS + 1):
            await pace.load(step / STEPS, job.model_key)
            job.downloaded_bytes = SIZE_BYTES * step // STEPS
        self._catalogue.add({"type": "llm", "modelKey": job.model_key, "sizeBytes": SIZE_BYTES})
        job.completed_at = datetime.now(UTC)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
