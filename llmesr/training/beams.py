"""How much a search of beams finds, which the run's manifest says."""

from __future__ import annotations

import numpy as np
import torch

from llmesr.data.batches import Sequences
from llmesr.data.dataset import Dataset
from llmesr.models.scorers import WritingScorer

ASKED = 64
"""Users for whom the search of beams is compared with scoring all items."""


def found_by_beams(scorer: WritingScorer, dataset: Dataset, sequences: Sequences) -> dict[str, float]:
    """How many beams there are, and what share of the ten best items they find for some users."""
    device, lengths = sequences.device, dataset.split.train_lengths
    asked = np.flatnonzero(lengths)[:ASKED]
    read = torch.from_numpy(lengths[asked]).to(device)
    histories, _ = sequences.padded(torch.from_numpy(asked).to(device), read, scorer.max_length)
    found = round(scorer.recall(histories), 4)
    return {"width": scorer.decoder.beam, "users": len(asked), "recall@10": found}
