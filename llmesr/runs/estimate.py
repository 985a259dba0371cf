"""How long a training or a fine-tuning will take, from what trainings took here before, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmesr.config import DEFAULT_NEGATIVES, FinetuneConfig, RunConfig, has_backbone
from llmesr.prose import counted
from llmesr.runs.finetune import Finetune


@dataclass(frozen=True)
class Timing:
    """What one finished run took. ``seconds`` per epoch; ``interactions`` and ``items`` are of its training part."""

    config: RunConfig
    interactions: int
    items: int
    seconds: float
    epochs: int


@dataclass(frozen=True)
class Estimate:
    """``per_epoch`` and ``longest`` in seconds; ``likely`` when earlier runs ended before their last epoch."""

    per_epoch: float
    longest: float
    likely: float | None
    basis: str


MICROSECONDS_PER_TOKEN = 1500.0
"""For a first guess where a text model reads the history: one token through MiniLM and back (one CPU core)."""
MICROSECONDS_PER_STEP = 90.0
MICROSECONDS_PER_SCORE = 0.012
"""For a first guess: cost of one training interaction, and of scoring it against one item (two CPU cores, D 64)."""


def work(config: RunConfig, interactions: int, items: int) -> float:
    """Microseconds of one epoch on a plain two-core machine; only ratios of it are used once something was timed."""
    views = 2 if config.method == "llm-esr" and config.collaborative_view and config.semantic_view else 1
    views += len(config.views or [])
    width = config.embedding_size / 64
    encode = MICROSECONDS_PER_STEP * views * width * config.layers / 2
    if config.method == "language":  # an item's pieces, and the suffix behind it
        encode = MICROSECONDS_PER_TOKEN * (1 + (config.item_tokens if config.history_input == "tokens" else 1))
    candidates = items if config.loss == "ce" else config.negatives or DEFAULT_NEGATIVES[config.loss]
    return interactions * (encode + MICROSECONDS_PER_SCORE * views * width * candidates)


def estimate(config: RunConfig, interactions: int, items: int, past: Sequence[Timing]) -> Estimate | None:
    """None for methods without epochs. Timings of the same method and backbone are preferred, then any."""
    if not has_backbone(config.method):
        return None
    same = [t for t in past if (t.config.method, t.config.backbone) == (config.method, config.backbone)]
    used = same or list(past)
    guess = work(config, interactions, items) / 1e6
    if not used:
        basis = "A guess: nothing has been trained on this machine yet."
        return Estimate(guess, guess * config.epochs, None, basis)
    speed = float(np.median([t.seconds / (work(t.config, t.interactions, t.items) / 1e6) for t in used]))
    per_epoch = guess * speed
    longest = per_epoch * config.epochs
    # Training stops when it no longer improves, after so many epochs whatever the most; runs at their most say less.
    early = np.median([t.epochs / t.config.epochs for t in same]) < 1 if same else False
    usual = float(np.median([t.epochs for t in same])) if early else float(config.epochs)
    kind = f"{config.method}/{config.backbone} " if same else ""
    basis = f"Measured on {counted(len(used), f'{kind}run')}{'' if same else ' of other methods'} on this machine."
    return Estimate(per_epoch, longest, per_epoch * usual if usual < config.epochs else None, basis)


USUAL_EPOCHS = 40
"""Until early stopping with patience 10: 20 to 45 on the demo and on Amazon Office."""


def altogether(
    configs: Sequence[RunConfig], interactions: int, items: int, past: Sequence[Timing]
) -> tuple[float, float]:
    """Seconds that several trainings will likely take one after the other, and the most they can take."""
    found = [(c, e) for c in configs if (e := estimate(c, interactions, items, past)) is not None]
    usual = [min(e.per_epoch * USUAL_EPOCHS, e.longest) if e.likely is None else e.likely for _, e in found]
    return sum(usual), sum(e.longest for _, e in found)


PROMPTS_PER_SECOND = 11.0
"""Of whole tuning steps of the bundled encoder on two plain cores, 96 tokens a prompt."""


def finetune_seconds(config: FinetuneConfig, past: Sequence[Finetune]) -> tuple[float | None, str]:
    """Seconds per step of a fine-tuning and what that rests on; None where nothing is known of the model."""
    prompts = 2 * config.batch_size * config.accumulation
    same = [t.manifest.info for t in past if t.manifest.config.get("base") == config.base]
    rates = [i["prompts_per_second"] for i in same if i.get("prompts_per_second")]
    if rates:
        count = counted(len(rates), "fine-tuning run")
        return prompts / float(np.median(rates)), f"Measured on {count} of this model on this machine."
    if config.base == "minilm":
        return (
            prompts / PROMPTS_PER_SECOND,
            "A guess for two processor cores: nothing was fine-tuned on this machine yet.",
        )
    return None, "Nothing is known of this model's speed here; the time left is shown after the first steps."
