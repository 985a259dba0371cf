"""Jobs on a Ray cluster, through its job service. Every machine sees the artifact root under the same path.

The worker is the one :class:`~llmesr.jobs.engine.LocalEngine` starts, and what it writes (state, log, progress) under
the artifact root stays the truth. Ray says only whether the worker still lives.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import time
from typing import TYPE_CHECKING

from llmesr.errors import UserError
from llmesr.jobs.environment import ENGINE, PASSED_ON, SLOTS
from llmesr.jobs.record import LOG, ORPHANED, Job, JobStatus

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

PYTHON, CPUS, GPUS = "LLMESR_RAY_PYTHON", "LLMESR_RAY_CPUS", "LLMESR_RAY_GPUS"
"""Environment variables: the interpreter on the cluster (``python``), processors (1) and GPUs (0) of each job."""


class RayEngine:
    """Workers as Ray jobs: ``address`` is that of the dashboard, such as ``http://127.0.0.1:8265``."""

    def __init__(self, address: str) -> None:
        self.address = address

    def slots(self) -> list[str]:
        named = os.environ.get(SLOTS, "ray")
        return [s.strip() for s in named.split(",") if s.strip()]

    def start(self, job: Job, slot: str) -> tuple[str, float]:
        cpus, gpus = float(os.environ.get(CPUS) or 1), float(os.environ.get(GPUS) or 0)
        python = os.environ.get(PYTHON) or "python"
        log = shlex.quote(str(job.folder / LOG))
        worker = f"exec {shlex.quote(python)} -m llmesr.jobs.worker {shlex.quote(str(job.folder))} >> {log} 2>&1"
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        # Ray gives its processes one thread where nobody says otherwise.
        environment = {**passed, ENGINE: f"ray:{self.address}", "OMP_NUM_THREADS": str(max(1, int(cpus)))}
        try:
            id = self._client().submit_job(
                entrypoint=worker,
                submission_id=f"{job.id}-{secrets.token_hex(3)}",
                runtime_env={"env_vars": environment},
                metadata={"job": job.id, "label": job.label},
                entrypoint_num_cpus=cpus,
                entrypoint_num_gpus=gpus or None,
            )
        except RuntimeError as error:
            raise OSError(f"Ray at {self.address} refused it: {error}") from error
        return id, time.time()

    def alive(self, status: JobStatus) -> bool:
        if not isinstance(status.worker, str):
            return True  # a process of the local engine, which alone can say
        try:
            return not self._client().get_job_status(status.worker).is_terminal()
        except ConnectionError:
            return True  # not known until Ray answers again, and a running job must not be given up
        except RuntimeError as error:
            return "404" not in str(error)  # a new head knows nothing of the jobs of the old one

    def stop(self, status: JobStatus) -> None:
        """The worker reads in its status that it is to stop; Ray is asked only when it has not started it yet."""
        with contextlib.suppress(ConnectionError, RuntimeError):  # the request stands in the status
            if isinstance(status.worker, str) and self._client().get_job_status(status.worker) == "PENDING":
                self._client().stop_job(status.worker)

    def kill(self, status: JobStatus) -> None:
        if not isinstance(status.worker, str) or not self.alive(status):
            return
        try:
            self._client().stop_job(status.worker)  # SIGTERM to all its processes, SIGKILL three seconds later
        except (ConnectionError, RuntimeError) as error:
            raise UserError(f"Ray at {self.address} does not answer ({error}); ask again when it does.") from error

    def explain(self, status: JobStatus) -> str:
        try:
            said = self._client().get_job_info(str(status.worker)).message
        except (ConnectionError, RuntimeError):
            said = None
        return f"Ray says: {said.strip().splitlines()[0][:300]}" if said else ORPHANED

    def _client(self) -> JobSubmissionClient:
        try:
            from ray.job_submission import JobSubmissionClient
        except ImportError as error:
            raise UserError(f"{ENGINE}=ray:... needs Ray: pip install -e .[ray] (or unset {ENGINE}).") from error
        return JobSubmissionClient(self.address)
