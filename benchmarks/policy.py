"""What each part of a scoring policy is worth, and what is left of it without text.

    python benchmarks/policy.py PATH --name office --seeds 42 43 44

PATH is a folder with interactions and items. Policies are tuned on validation and judged on test. Runs already under
the artifact root are reused.
"""

from __future__ import annotations

from typing import Any

import torch
from quality import arguments, show, train_all

from llmesr.config import EmbedConfig, IngestConfig
from llmesr.data.ingest import ingest
from llmesr.runs.record import Run
from llmesr.scoring.derived import derive
from llmesr.scoring.scored_run import ScoredRun
from llmesr.scoring.tuning.outcome import PolicyTuningConfig
from llmesr.scoring.tuning.search import cross_fitted, tune_policy
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.devices import pick_device

NO_CONTENT: dict[str, Any] = {"whitenings": ()}
NO_TEXT: dict[str, Any] = {**NO_CONTENT, "linear_kinds": ("cosines", "ease")}
"""The linear term may read text, too."""
TRIED: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "id": ({"method": "id"}, None),
    "id, fitted without text": ({"method": "id"}, NO_TEXT),
    "id, fitted without content": ({"method": "id"}, NO_CONTENT),
    "id, fitted": ({"method": "id"}, {}),
    "llm-esr": ({"method": "llm-esr"}, None),
    "llm-esr, set by hand": ({"method": "llm-esr"}, {"emphases": ()}),
    "llm-esr, fitted without the linear term": ({"method": "llm-esr"}, {"linear_kinds": ()}),
    "llm-esr, fitted without content": ({"method": "llm-esr"}, NO_CONTENT),
    "llm-esr, fitted": ({"method": "llm-esr"}, {}),
}
"""Label -> the run, and how its policy is tuned (none: as trained)."""


def scored(run: Run, settings: dict[str, Any] | None, store: Store, device: str) -> Run:
    """The run under the policy that tuning with ``settings`` chooses."""
    if settings is None:
        return run
    scored = ScoredRun(store, run, pick_device(device))
    config = PolicyTuningConfig(**settings)
    policy = tune_policy(scored, config).policy
    return run if policy.inert else derive(scored, policy, halves=cross_fitted(scored, config))


def main() -> None:
    args = arguments(__doc__).parse_args()
    torch.set_num_threads(args.threads)
    store = Store()
    data = ingest([args.path], IngestConfig(name=args.name, k_core=args.k_core), store)
    vectors = embed(data, EmbedConfig(), store)
    trained = train_all(data, {label: (vectors, run) for label, (run, _) in TRIED.items()}, store, args)
    show({label: [scored(r, TRIED[label][1], store, args.device) for r in runs] for label, runs in trained.items()})


if __name__ == "__main__":
    main()
