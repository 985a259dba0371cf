"""Answers that take a while: worked out once for a question, with a bar that says how far it is, and kept for the
visitor who asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from llmesr.progress import Progress

T = TypeVar("T")
KEPT = 6
"""Answers kept for a visitor, the oldest out first."""


def answered(question: tuple[object, ...], work: Callable[[Progress], T]) -> T:
    """What ``work`` gave for ``question`` before, else what it gives now, with its progress shown."""
    kept: dict[tuple[object, ...], T] = st.session_state.setdefault("lab.answers", {})
    if question not in kept:
        bar = st.progress(0.0, text="Reading the model")

        def listen(stage: str, done: int, total: int) -> None:
            share = min(done / total, 1.0) if total else 0.0
            bar.progress(share, text=f"{stage[:1].upper()}{stage[1:]}: {done:,} of {total:,}")

        try:
            kept[question] = work(listen)
        finally:
            bar.empty()
        while len(kept) > KEPT:
            del kept[next(iter(kept))]
    return kept[question]
