"""Texts spoilt on purpose and written again: what `llmesr lab repair` forecasts against what repairing brings.

    python benchmarks/lab.py DATA/amazon_office --flaws missing duplicate --methods semantic-knn text-ease

Of a dataset a share of the items that are somebody's held-out item get a flawed text; the run is trained on that
catalogue, so it never saw the good ones. Printed by method and flaw: validation users won as forecast, with its 95%
interval, and as measured: by giving the trained run the good texts (the door of the lab), and by training anew on the
good catalogue. The same for test users, who had no part in the forecast: their misses times the measured gain.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from llmesr.config import EmbedConfig, IngestConfig, LabConfig, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.data.split import Part
from llmesr.evaluation.ranks import evaluate
from llmesr.lab.change import with_texts
from llmesr.lab.flaws import Flaw, flawed, spoilt
from llmesr.lab.repair import Repairs, repairs
from llmesr.lab.rewritten import changed
from llmesr.retrieval.index import nearest
from llmesr.scoring.scored_run import ScoredRun
from llmesr.semantic.embed import embed
from llmesr.store import Store
from llmesr.training.train import train

WORDS = 5
"""Words left of a text that is cut short."""


def ingested(store: Store, folder: Path, catalogue: pd.DataFrame | None, name: str) -> Dataset:
    """The dataset, with other item texts where ``catalogue`` gives them."""
    interactions = next(folder.glob("interactions.*"))
    items = next(folder.glob("items.*"))
    if catalogue is not None:
        items = store.root / f"{name}.csv"
        catalogue.to_csv(items, index=False)
    return ingest([interactions, items], IngestConfig(name=name), store)


def hits(scored: ScoredRun, part: Part, items: np.ndarray, k: int) -> np.ndarray:
    """(R,) whether each user of ``part`` whose held-out item is one of ``items`` finds it, and (R,) which it is."""
    judged = scored.of(part)
    frame = evaluate(
        judged.under(), judged.dataset, part, protocols=("full",), top=0, max_length=judged.max_length
    ).frame
    mine = frame[frame["target"].isin(items)]
    return np.stack([(mine["rank"] <= k).to_numpy(), mine["target"].to_numpy()])


def tried(store: Store, folder: Path, whole: Dataset, method: str, flaw: Flaw, share: float) -> dict[str, object]:
    """One method and one flaw: the forecast and what came."""
    rng = np.random.default_rng(0)
    wanted = np.unique(np.concatenate([whole.split.targets("valid"), whole.split.targets("test")]))
    good = np.setdiff1d(wanted, flawed(whole.catalogue)["item"])
    items = np.sort(rng.choice(good, int(share * len(good)), replace=False))
    vectors = embed(whole, EmbedConfig(), store).item_vectors
    others = np.setdiff1d(np.arange(1, whole.n_items + 1), items)
    twins = others[nearest(vectors[others - 1], vectors[items - 1], 1).rows[:, 0]]  # the text of a variant
    rows = spoilt(whole.catalogue, items, flaw, words=WORDS, twins=twins)
    worse = with_texts(whole, rows).catalogue
    worse.loc[worse["title"] == worse["item_id"], "title"] = ""
    data = ingested(store, folder, worse, f"{whole.name}-{flaw}")
    assert data.catalogue["item_id"].tolist() == whole.catalogue["item_id"].tolist()
    runs = {}
    for one in (whole, data):
        text = embed(one, EmbedConfig(), store)
        runs[one.id] = train(one, RunConfig.read(None, method=method), store, embedding=text, device="cpu")
    bad, best = ScoredRun(store, runs[data.id]), ScoredRun(store, runs[whole.id])
    config = LabConfig()
    found = repairs(bad, config)
    cells = whole.catalogue[whole.text_columns]
    truth = {int(i): {str(k): str(v) for k, v in cells.iloc[i - 1].items()} for i in items}
    mended = changed(bad, with_texts(data, truth))
    forecast = found.texts[found.texts["item"].isin(items)][["gain", "low", "high"]].sum()
    row: dict[str, object] = {"method": method, "flaw": flaw, "spoilt": len(items)}
    for part in ("valid", "test"):
        before, by_door, anew = (hits(s, part, items, config.k) for s in (bad, mended, best))
        misses = before[1][before[0] == 0]
        if part == "test":
            forecast = on_test(found, flaw, data, misses)
        row |= {f"{part} misses": len(misses), f"{part} forecast": "{:.1f} ({:.1f} to {:.1f})".format(*forecast)}
        row |= {f"{part} by the door": int(by_door[0].sum() - before[0].sum())}
        row |= {f"{part} trained anew": int(anew[0].sum() - before[0].sum())}
    return row


def on_test(found: Repairs, flaw: Flaw, data: Dataset, misses: np.ndarray) -> pd.Series:
    """The measured gains times the test users who miss an item of each group."""
    tail = data.thresholds.tail_items(np.asarray(data.item_counts)[misses])
    many = {"Tail Item": int(tail.sum()), "Head Item": int((~tail).sum())}
    known = [g for g in found.gains if g.flaw == flaw and g.rate == g.rate]
    return pd.Series([sum(getattr(g, name) * many[g.group] for g in known) for name in ("rate", "low", "high")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--methods", nargs="+", default=["semantic-knn", "text-ease"])
    parser.add_argument("--flaws", nargs="+", default=["missing", "duplicate", "short"])
    parser.add_argument("--share", type=float, default=0.15, help="of the items with held-out users that are spoilt")
    parser.add_argument("--artifacts", type=Path, default=None)
    args = parser.parse_args()
    store = Store(args.artifacts or tempfile.mkdtemp(prefix="llmesr-lab-"))
    whole = ingested(store, args.data, None, args.data.name)
    rows = [tried(store, args.data, whole, m, f, args.share) for f in args.flaws for m in args.methods]
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
