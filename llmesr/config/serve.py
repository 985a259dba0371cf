"""Settings of the API server."""

from __future__ import annotations

from pydantic import Field

from llmesr.config.base import Config


class ServeConfig(Config):
    """How a server behaves."""

    api_key: str | None = Field(
        None, min_length=8, description="Clients must send it as X-API-Key; none asked if absent."
    )
    device: str = Field("auto", description="auto, cpu, cuda or mps.")
    max_batch: int = Field(64, ge=1, description="Most requests scored together.")
    workers: int = Field(1, ge=1, le=64, description="Batches scored at once, on a core each; 1 on a GPU.")
    processes: int = Field(
        1, ge=1, le=64, description="Processes that answer at the port, each with the runs in memory; on Linux."
    )
    max_queue: int = Field(256, ge=1, description="Most requests waiting; beyond it clients get 503.")
    timeout: float = Field(10.0, gt=0, description="Seconds after which a waiting request gets 503.")
    client_limit: int = Field(
        0, ge=0, description="Requests in flight per client address, beyond it 429; 0 is no limit."
    )
    max_body: int = Field(262_144, ge=1024, description="Largest request body in bytes.")
    body_seconds: float = Field(10.0, gt=0, description="Seconds a client has to send a request's body.")
    max_connections: int = Field(512, ge=1, description="Most open connections; requests beyond get 503.")
    reload_seconds: float = Field(5.0, ge=0, description="How often to look for newer runs; 0 never.")
