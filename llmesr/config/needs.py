"""What a run of given settings needs, and what follows from them."""

from __future__ import annotations

from llmesr.config.methods import NEEDS_TEXT, reads
from llmesr.config.run import RunConfig

SPARSE_FROM = 100_000
"""Items from which ``item_updates=auto`` is sparse, where it can be: a dense step then costs more than the batch."""

TEXT_IN_FILE_FROM = 2**29
"""Bytes of item text from which ``text_table=auto`` leaves it in its file, where it can. A model that holds it has it
twice, as it was read and as a table: a gigabyte, of which a step of 128 users touches a few thousand rows. Reading
those takes 4 to 5 ms of a step of 27 to 39 ms (benchmarks/tables.py --text, a million items): too much for little
text."""


def needs_text(config: RunConfig) -> bool:
    """Whether the method reads item text vectors."""
    if config.method == "llm-esr":
        return config.semantic_view or config.item_init == "pca" or needs_similar(config)
    if config.method == "llm-init":
        return config.item_init == "pca"
    return config.method in NEEDS_TEXT


def keeps_text(config: RunConfig) -> bool:
    """Whether the method looks at item text vectors beyond its start."""
    return config.adapts_text or config.method in ("semantic-knn", "text-ease", "language", "generative")


def needs_similar(config: RunConfig) -> bool:
    """Whether the method distils from similar users."""
    return config.method == "llm-esr" and config.distillation != "off" and config.distillation_weight > 0


def needs_reference(config: RunConfig) -> bool:
    """Whether the method aligns its items, where these are learned, to those of an id-only run."""
    learned = config.adapter or not config.freeze_text
    return config.method == "llmemb" and config.alignment_weight > 0 and learned


def needs_behaviour(config: RunConfig) -> bool:
    """Whether a text model that reads histories is told what an id run knows."""
    return config.method == "language" and (config.prefix == "collaborative" or config.inject)


def draws_popular(config: RunConfig) -> bool:
    """Whether negatives are drawn by how often items were chosen."""
    return config.loss == "sampled" and config.popular_negatives > 0


def ranks_candidates(config: RunConfig) -> bool:
    """Whether the finished run is ranked by candidates from an index of its item vectors."""
    return config.ranking == "two-stage" and reads("ranking", config.method, config.backbone)


def spreads(config: RunConfig) -> bool:
    """Whether the start of the item vectors is spread over the graph of users and items."""
    return reads("graph_steps", config.method, config.backbone) and config.graph_steps > 0 and config.graph_weight > 0


def starts_adapter(config: RunConfig) -> bool:
    """Whether adapters begin as the main directions of what they adapt, scaled."""
    if not reads("adapter_init", config.method, config.backbone) or not config.adapter:
        return False
    return config.adapter_init == "pca" or (config.adapter_init == "auto" and config.method != "llm-esr")


def sparse_updates(config: RunConfig, n_items: int) -> bool:
    """Whether a step changes only the item vectors that its batch touches."""
    if config.item_updates == "auto":
        return n_items >= SPARSE_FROM and config.touches_rows
    return config.item_updates in ("sparse", "sharded")


def text_in_file(config: RunConfig, nbytes: int) -> bool:
    """Whether an adapter reads the text of the items, of which there are so many bytes, out of its file."""
    if config.text_table == "auto":
        return nbytes >= TEXT_IN_FILE_FROM and config.adapts_text and config.touches_rows and config.freeze_text
    return config.text_table == "file"
