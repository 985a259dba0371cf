"""What is selected on a map, in words and tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from llmesr.maps.points import Pair, Points
from llmesr.maps.quality import CHANCE, POOR
from llmesr.views.shared import theme
from llmesr.views.shared.words import as_text


def selected_table(points: Points, pair: Pair, rows: np.ndarray, attribute: str | None) -> pd.DataFrame:
    """The selected points, most chosen first: Title, Id, Training interactions, Group, Gap and the category."""
    rows = rows[np.argsort(-points.counts[rows], kind="stable")]
    tail, head = points.groups
    frame = (
        pd.DataFrame({"Title": points.titles[rows]}) if points.of == "items" else pd.DataFrame(index=range(len(rows)))
    )
    frame["Item" if points.of == "items" else "User"] = points.ids[rows]
    frame["Training interactions"] = points.counts[rows]
    frame["Group"] = np.where(points.tail[rows], tail, head)
    if pair.gap is not None:
        frame["Gap"] = pair.gap[rows]
    if attribute and points.catalogue is not None:
        frame[attribute] = points.catalogue[attribute].to_numpy(object)[rows]
    return frame


def summary_line(points: Points, pair: Pair, rows: np.ndarray) -> str:
    """How many are selected, and how they differ from all: share in the tail, median count, mean gap."""
    counted = "training interactions" if points.of == "items" else "items in training"
    if len(rows) == 1:
        row, group = int(rows[0]), points.groups[0 if points.tail[rows[0]] else 1]
        known = pair.gap is not None and np.isfinite(pair.gap[row])
        gap = f", gap {pair.gap[row]:.2f}" if known and pair.gap is not None else ""
        return f"**1 {points.of[:-1]} selected**: {group}, {points.counts[row]:,} {counted}{gap}."
    tail, every = (theme.percent(float(t.mean())) for t in (points.tail[rows], points.tail))
    parts = [
        f"**{len(rows):,} {points.of} selected**",
        f"{tail} in the tail (all: {every})",
        f"median {np.median(points.counts[rows]):g} {counted} (all: {np.median(points.counts):g})",
    ]
    if pair.gap is not None and np.isfinite(pair.gap[rows]).any():
        parts.append(f"mean gap {np.nanmean(pair.gap[rows]):.2f} (all: {np.nanmean(pair.gap):.2f})")
    return ", ".join(parts) + "."


def gap_line(points: Points, pair: Pair) -> str:
    """How far the two spaces agree, in the head and in the tail, and whether one is too poor to say; empty without."""
    if pair.gap is None or not np.isfinite(pair.gap).any():
        return ""
    tail, head = points.groups
    means = {name: float(np.nanmean(pair.gap[rows])) for name, rows in _known_parts(points, pair.gap)}
    said = ", ".join(f"{name} **{value:.2f}**" for name, value in means.items())
    line = f"Gap between the two spaces: {said} (0: the same neighbours, {CHANCE}: no nearer than chance)."
    if np.nanmean(pair.gap) >= POOR:
        line += " **One of the two is too poor to compare**: their neighbourhoods have next to nothing in common."
    elif means.get(tail, 0) >= POOR > means.get(head, 1):
        line += " In the tail one of the two has nothing to say yet."
    return line


def mixed_lines(pair: Pair) -> list[str]:
    """For each space that text got into, why it agrees with the text; for text that behaviour got into likewise."""
    mixed = {side.space.label: side.space for side in pair.sides.values() if side.space.mixed}
    alone = {True: "behaviour more than its words", False: "it more than behaviour"}
    return [
        f"{as_text(label)} {space.mixed}, so it agrees with {alone[space.part == 'semantic']} alone would."
        for label, space in mixed.items()
    ]


def _known_parts(points: Points, gap: np.ndarray) -> list[tuple[str, np.ndarray]]:
    tail, head = points.groups
    parts = ((head, ~points.tail & np.isfinite(gap)), (tail, points.tail & np.isfinite(gap)))
    return [(name, rows) for name, rows in parts if rows.any()]


def nearest_table(points: Points, pair: Pair, row: int, side: str, k: int = 15) -> pd.DataFrame:
    """The points nearest to ``row`` in the original space of ``side``; In both: also among the nearest of the other."""
    own, other = pair.sides[side], pair.sides["right" if side == "left" else "left"]
    rows, cosine = own.nearest(row, k)
    shared = np.isin(rows, other.nearest(row, k)[0])
    name = "Title" if points.of == "items" else "User"
    return pd.DataFrame(
        {
            name: points.titles[rows],
            "Cosine": cosine,
            "In both": np.where(shared, "yes", ""),
            "In training": points.counts[rows],
            "Group": np.where(points.tail[rows], *points.groups),
        }
    )
