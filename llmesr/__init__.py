"""Sequential recommendation for the long tail, with item text read by a language model.

The folders are the stages of the method, in the order data flows through them:

    data         files in, a validated dataset of time-ordered histories out; split, groups, batches
    text         item attributes and histories as prompts
    semantic     prompts to vectors: embedders, their cache, fine-tuning (SCFT), PCA
    retrieval    nearest vectors and similar users
    linear       closed-form item-to-item models: weights from interactions and text, and one scorer
    encoders     SASRec, BERT4Rec, GRU4Rec: sequences in, states out
    models       item tables, the fusion of views, the sequence model they compose, scorers
    objectives   what is minimised
    methods/     each method = tables x encoder x objectives
    training     the loop, checkpoints, devices
    evaluation   ranks -> metrics per user -> groups -> statistics
    runs         what a run records
    scoring      a run opened for scoring: what a score is made of, its policy and its tuning, re-ranking, lists
    lab          new products, edited texts, texts to repair: what a run would do with them
    findings     charts and tables that were kept with a note
    contest      the best recommender of a dataset within a time, chosen on validation
    studies      what prompts, encoders and similarities are worth, judged on validation
    maps         embeddings in the plane
    serving      the HTTP API
    jobs         commands as detached worker processes, here or on a Ray cluster
    views        the app: a room for every page, what they share, and the only caches

Beside them: ``config/`` (every setting), ``api.py`` (the steps in Python), ``cli/`` (the same as commands),
``store/`` (artifacts on disk), ``remote.py`` (the same at another place), ``repair.py`` (damaged ones made whole),
``exports/`` (results for other tools), ``charts.py`` (the app's figures in Python), ``visitors.py`` (what a visitor of
the app may reach), ``deadlines.py`` (ends for what comes from elsewhere), ``processes.py`` (several processes that
train one run), ``votes.py`` (what an audience prefers, blind).
"""

import os
from typing import Any

# Before torch is loaded: threads that wait for each other sleep soon. They would spin for milliseconds, and on a busy
# machine an operation of a small model then takes several times as long as on one core.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

_PUBLIC = {
    "Store": "llmesr.store",
    "UserError": "llmesr.errors",
    "IngestConfig": "llmesr.config",
    "SplitConfig": "llmesr.config",
    "EmbedConfig": "llmesr.config",
    "RunConfig": "llmesr.config",
    "BestConfig": "llmesr.config",
    "LabConfig": "llmesr.config",
    "StudyConfig": "llmesr.config",
    "ingest": "llmesr.api",
    "split": "llmesr.api",
    "embed": "llmesr.api",
    "train": "llmesr.api",
    "register_ranking": "llmesr.api",
    "blend": "llmesr.api",
    "best": "llmesr.api",
    "study": "llmesr.api",
    "compare": "llmesr.api",
    "recommend": "llmesr.api",
    "launch": "llmesr.api",
    "past_launches": "llmesr.api",
    "edit": "llmesr.api",
    "repairs": "llmesr.api",
    "export_findings": "llmesr.api",
}

_MODULES = {"charts": "llmesr.charts", "findings": "llmesr.findings"}

__all__ = [*_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that ``import llmesr`` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'llmesr' has no attribute {name!r}")
    import importlib

    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    return getattr(importlib.import_module(_PUBLIC[name]), name)
