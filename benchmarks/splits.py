"""The same methods under leave-one-out and under a temporal split: does their ranking survive without leakage?

    python benchmarks/splits.py DATA/ml_latest_small --name ml --methods popularity semantic-knn id --epochs 60
    python benchmarks/splits.py DOWNLOADS/complete-journey --name journey --methods popularity item-knn ease

Prints, for every metric asked for, each method's value with its 95% interval over users and seeds and its place under
both splits, by group; then Kendall's tau between the two orders of methods, with its 95% interval over users; then,
under each split, every method against ``--against`` overall: the difference, p corrected for all of them, and the
difference that such a test would have shown four times in five (its power).
Trained methods stop early, so a run whose best epoch is its last one had not converged and is marked. ``--users`` draws
so many users first, and ``--set`` sizes the trained models, where the whole would take too long. Runs already under the
artifact root are reused.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from quality import find_or_train
from scipy.stats import kendalltau

from llmesr.config import EVERY_GROUP, EmbedConfig, IngestConfig, SplitConfig, has_backbone
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.data.profile import profile
from llmesr.data.splitting import resplit
from llmesr.evaluation.origins import lucky
from llmesr.evaluation.statistics import compare, summary
from llmesr.evaluation.table import named_groups
from llmesr.evaluation.values import Values, per_user
from llmesr.evaluation.verdict import p_text
from llmesr.runs.record import Run
from llmesr.semantic.embed import Embedding, embed
from llmesr.store import Store


def trained(data: Dataset, args: argparse.Namespace, store: Store) -> dict[str, list[Run]]:
    """Method -> its runs, one per seed where it has one."""
    vectors: Embedding = embed(data, EmbedConfig(embedder=args.embedder), store)
    found: dict[str, list[Run]] = {}
    for method in args.methods:
        started = time.perf_counter()
        settings: dict[str, Any] = {"method": method, "max_length": args.max_length}
        if has_backbone(method):
            settings |= {"epochs": args.epochs, "patience": args.patience, **dict(args.set)}
        seeds = args.seeds if has_backbone(method) else args.seeds[:1]
        found[method] = [find_or_train(data, vectors, {**settings, "seed": s}, store, args.device) for s in seeds]
        print(f"{data.name}, {method}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return found


def marked(method: str, runs: list[Run]) -> str:
    """The method's name; with a star where a run's best epoch was its last."""
    late = any(r.manifest.info.get("best_epoch", 0) == r.manifest.info.get("epochs", -1) for r in runs)
    return f"{method}*" if late else method


def measured(data: Dataset, runs: dict[str, list[Run]], metric: str, protocol: str) -> pd.DataFrame:
    """run, group, value, low, high, users and place (1 is best) of every method."""
    frames = {method: [r.per_user() for r in of] for method, of in runs.items()}
    table = summary(frames, data.thresholds, metrics=[metric], protocol=protocol)
    return table.assign(place=table.groupby("group")["value"].rank(ascending=False, method="min"))


def against(data: Dataset, runs: dict[str, list[Run]], baseline: str, metric: str, protocol: str) -> pd.DataFrame:
    """Every method against one, by group: see :func:`llmesr.evaluation.statistics.compare`."""
    frames = {method: [r.per_user() for r in of] for method, of in runs.items()}
    alone = {method for method, of in runs.items() if not lucky(of[0].manifest)}
    return compare(frames, data.thresholds, baseline=baseline, metrics=[metric], protocol=protocol, alone=alone)


def tested(split: str, rows: pd.DataFrame) -> None:
    """Print the rows of one split overall."""
    base, users = rows["baseline"].iloc[0], int(rows["users"].max())
    print(f"\n{split}, {users:,} users: against {base}, overall\n")
    print("| method | difference | p | would show |\n|---|---|---|---|")
    for row in rows[rows["group"] == "Overall"].to_dict("records"):
        span = f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
        print(f"| {row['run']} | {span} | {p_text(row['p_adjusted'], row['floor'])} | {row['detectable']:.4f} |")


def values(runs: dict[str, list[Run]], metric: str, protocol: str) -> Values:
    """Of every method, by user."""
    return per_user({m: [r.per_user() for r in of] for m, of in runs.items()}, [metric], protocol, "test")


def tau(sides: Sequence[tuple[Dataset, Values]], group: str, draws: int = 1000) -> tuple[float, float, float]:
    """Kendall's tau between the orders of methods under two splits, and its 95% interval: users are drawn again, and
    one who is judged under both splits is drawn for both."""
    tables = []
    for data, of in sides:
        [inside] = [g for g in named_groups(of.rows, data.thresholds) if g.name == group]
        scores = np.stack([of.inside(m, inside).mean(0)[:, 0] for m in of.values], axis=1)  # (users, methods)
        each = of.rows.drop_duplicates("user").sort_values("user")["user_id"].to_numpy()
        tables.append((each[of.users(inside)], scores))
    everyone = np.unique(np.concatenate([users for users, _ in tables]))
    place = [np.searchsorted(everyone, users) for users, _ in tables]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        times = np.bincount(rng.integers(len(everyone), size=len(everyone)), minlength=len(everyone))
        found.append(kendalltau(*(times[at] @ scores for at, (_, scores) in zip(place, tables, strict=True))).statistic)
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(kendalltau(*(scores.mean(0) for _, scores in tables)).statistic), float(low), float(high)


def side_by_side(
    sides: dict[str, pd.DataFrame], names: dict[str, str], whole: Sequence[tuple[Dataset, Values]]
) -> None:
    """A table per group, methods down and splits across, and how alike the orders are."""
    for group in EVERY_GROUP:
        parts = {split: t[t["group"] == group].set_index("run") for split, t in sides.items()}
        here = {split: rows for split, rows in parts.items() if len(rows)}
        if not here:
            continue
        users = ", ".join(f"{split} {int(rows['users'].iloc[0]):,}" for split, rows in here.items())
        print(f"\n{group} (users: {users})\n\n| method | " + " | ".join(here) + " |\n|---" + "|---" * len(here) + "|")
        for method, name in names.items():
            print(f"| {name} | " + " | ".join(cell(rows.loc[method]) for rows in here.values()) + " |")
        if len(here) == 2 and len(names) > 2:
            value, low, high = tau(whole, group)
            print(f"\nKendall's tau between the orders: {value:.2f} [{low:.2f}, {high:.2f}]")


def cell(row: pd.Series) -> str:
    return f"{row['value']:.4f} [{row['low']:.4f}, {row['high']:.4f}] ({int(row['place'])})"


def drawn(path: Path, users: int, folder: Path) -> Path:
    """A folder with the interactions of so many of the users under ``path``, drawn once for all, and all items."""
    [file] = path.glob("interactions.*")
    rows = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype=str)
    everyone = np.sort(rows["user_id"].unique())
    kept = np.random.default_rng(0).choice(everyone, users, replace=False)
    rows[rows["user_id"].isin(kept)].to_parquet(folder / "interactions.parquet", index=False)
    for items in path.glob("items.*"):
        (folder / items.name).write_bytes(items.read_bytes())
    return folder


def setting(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--methods", nargs="+", default=["popularity", "semantic-knn", "id"])
    parser.add_argument("--metrics", nargs="+", default=["NDCG@10"])
    parser.add_argument("--protocols", nargs="+", default=["full", "uni100"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42])
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--max-length", type=int, default=50)
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="NAME=VALUE", help="of trained methods")
    parser.add_argument("--users", type=int, help="draw so many users at random, the same ones every time")
    parser.add_argument("--k-core", type=int, default=2)
    parser.add_argument("--repeats", choices=["first", "last", "keep"], default="first")
    parser.add_argument("--valid-from", default=0.8, help="A share of the interactions, or a date.")
    parser.add_argument("--test-from", default=0.9)
    parser.add_argument("--targets", choices=["first", "all"], default="first", help="of a user behind a cut")
    parser.add_argument("--against", default="popularity", help="the method that all others are tested against")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    store = Store()
    config = IngestConfig(name=args.name, k_core=args.k_core, repeats=args.repeats)
    with tempfile.TemporaryDirectory() as scratch:
        path = drawn(args.path, args.users, Path(scratch)) if args.users else args.path
        data = ingest([path], config, store)
    cuts = SplitConfig.read(
        None, kind="temporal", valid_from=args.valid_from, test_from=args.test_from, targets=args.targets
    )
    splits = {d.split_config.kind: d for d in (data, resplit(data, cuts, store))}
    for split in splits.values():
        shape = profile(split).summary
        print(f"{split.name}: {split.split_config.describe()} {split.thresholds.describe()}")
        print(
            f"{shape['test_users']:,} users judged in the test, {shape['test_strangers']:,} without a past left out; "
            f"{shape['cold_target_share']:.0%} of the targets are cold.",
            flush=True,
        )
    runs = {kind: trained(d, args, store) for kind, d in splits.items()}
    names = {m: marked(m, [r for of in runs.values() for r in of[m]]) for m in args.methods}
    for protocol in args.protocols:
        for metric in args.metrics:
            print(f"\n{metric}, {protocol}: value [95% over users] (place)")
            whole = [(splits[k], values(runs[k], metric, protocol)) for k in splits]
            side_by_side({k: measured(splits[k], runs[k], metric, protocol) for k in splits}, names, whole)
            for kind in splits if args.against in args.methods and len(args.methods) > 1 else ():
                tested(kind, against(splits[kind], runs[kind], args.against, metric, protocol))
    if any(name.endswith("*") for name in names.values()):
        print("\n* had its best epoch last in at least one run: not converged.")


if __name__ == "__main__":
    main()
