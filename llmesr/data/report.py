"""What ingest found, in plain words: for the terminal, the app and the manifest alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing about the data: ``count`` cases of it, with a few ``examples``."""

    code: str
    message: str
    count: int = 0
    examples: tuple[str, ...] = ()
    level: Literal["info", "warning"] = "info"


@dataclass
class Report:
    """Findings in the order they came up, and how many interactions, users and items each step left."""

    findings: list[Finding] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def info(self, code: str, message: str, count: int = 0, examples: Iterable[str] = ()) -> None:
        self.findings.append(Finding(code, message, int(count), _short(examples)))

    def warn(self, code: str, message: str, count: int = 0, examples: Iterable[str] = ()) -> None:
        self.findings.append(Finding(code, message, int(count), _short(examples), "warning"))

    def step(self, name: str, interactions: int, users: int | None = None, items: int | None = None) -> None:
        """Record what is left after a step; None where it was not counted."""
        self.steps.append({"step": name, "interactions": interactions, "users": users, "items": items})

    def document(self) -> list[dict[str, Any]]:
        """The findings as they stand in ``manifest.info["report"]``."""
        return [{**asdict(f), "examples": list(f.examples)} for f in self.findings]


def _short(examples: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(e)[:200] for _, e in zip(range(EXAMPLES), examples, strict=False))
