"""Everything a run stores about its evaluation, from a scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds
from llmesr.data.split import PARTS, Part
from llmesr.evaluation.frames import Frames, Ranks
from llmesr.evaluation.ranks import PROTOCOLS, Scores
from llmesr.evaluation.sharded import KeptScores, ranked_by
from llmesr.evaluation.table import table_of
from llmesr.evaluation.two_stage import TwoStage
from llmesr.processes import ALONE, Processes
from llmesr.progress import Progress, silent


class Results(NamedTuple):
    """``frames``: ranks of all parts; ``top_items`` (U_eval, K) of the test part; ``rows``: the metrics of the test
    part under both protocols, as ``metrics.json`` holds them."""

    frames: Frames
    top_items: np.ndarray
    rows: list[dict[str, Any]]


def evaluate_parts(
    scorer: Scores | KeptScores | Mapping[Part, Scores | KeptScores],
    dataset: Dataset,
    *,
    parts: Sequence[Part] = PARTS,
    max_length: int = 50,
    top: int = 20,
    device: torch.device | str = "cpu",
    sequences: Sequences | None = None,
    processes: Processes = ALONE,
    progress: Progress = silent,
    two_stage: TwoStage | None = None,
) -> Results:
    """Rank the targets of ``parts`` (test among them) and make the metric table.

    ``scorer``: one, or one for each part, where the split trains again for the test. ``two_stage`` ranks by candidates
    in place of the whole catalogue.
    """
    scorers = scorer if isinstance(scorer, Mapping) else dict.fromkeys(parts, scorer)
    sequences = sequences or Sequences(dataset, device)
    found = {
        part: (two_stage or ranked_by(scorers[part]))(
            scorers[part],
            dataset,
            part,
            top=top if part == "test" else 0,
            max_length=max_length,
            device=device,
            sequences=sequences,
            processes=processes,
            progress=progress,
        )
        for part in parts
    }
    frames = Frames([f.ranks for f in found.values()])
    return Results(frames, found["test"].top_items, metric_rows(found["test"].ranks, dataset.thresholds))


def metric_rows(ranks: Ranks, thresholds: Thresholds) -> list[dict[str, Any]]:
    """The table of a part under both protocols, one dictionary per row, with its protocol."""
    tables = [table_of(ranks.numbers(p), thresholds).assign(protocol=p) for p in PROTOCOLS]
    return [{str(k): v for k, v in row.items()} for row in pd.concat(tables).to_dict("records")]
