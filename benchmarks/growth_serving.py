"""The step of growth.py that serves: a run with a policy as ``llmesr tune`` leaves it, from start to 64 clients.

    python benchmarks/growth_serving.py --root PATH/1000000x1000000 --histories 2000 --warm 10 [--set processes=2]

By itself: the policy asked for by so many users of a scene that growth.py has made, after so many seconds of such load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from pathlib import Path

import psutil
import torch
from growth_scene import Scene, Told
from serving import FITTED, load, processor, start  # type: ignore[attr-defined]  # the file beside this one, not tests/serving

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.methods import Inputs, build
from llmesr.runs.record import MODEL, Run, Status
from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.tuning.outcome import PolicyPoint, PolicyTuningConfig, TunedPolicy
from llmesr.semantic.embed import load_embedding
from llmesr.training.checkpoint import save_tensors

CLIENTS, USERS, SECONDS, PATIENCE, ID = 64, 500, 10.0, 1800.0, "served"
WARM = {"none": 5.0, "tuned": 40.0}
"""Seconds of load before anything is measured: under a policy with text an item of a history costs more the first
time."""


def served(scene: Scene) -> Told:
    """An untrained llm-esr with a tuned policy: processor seconds until it answers, and what an answer to one of 64
    clients takes without and with the policy, after histories that are known."""
    if ID not in scene.store.ids("runs"):
        _made(scene)
    data = scene.data()
    users = data.user_ids[:: max(data.n_users // USERS, 1)][:USERS].tolist()
    del data
    begun = time.perf_counter()
    process, port = start(scene.store, Run(scene.store, ID), "cpu", patience=PATIENCE)
    ready = time.perf_counter() - begun
    told = [f"ready after {processor(process):.0f} s ({ready:.0f} s wall), {_peak(process.pid):.1f} GB"]
    try:
        for policy, said in (("none", "plain"), ("tuned", "fitted")):
            bodies = [json.dumps({"user": user, "policy": policy}).encode() for user in users]
            asyncio.run(load(port, bodies, CLIENTS, WARM[policy]))
            before = processor(process)
            outcome = asyncio.run(load(port, bodies, CLIENTS, SECONDS))
            spent, answers = processor(process) - before, len(outcome.seconds)
            refused = sum(outcome.statuses.values()) - answers
            told.append(f"{said} {1000 * spent / max(answers, 1):.1f} ms ({answers} answers, {refused} refused)")
        return Told("; ".join(told), peak=_peak(process.pid))
    finally:
        process.terminate()
        process.wait(120)


def _made(scene: Scene) -> None:
    """The run with its model and its policy."""
    store, data, config = scene.store, scene.data(), RunConfig(method="llm-esr", distillation="off")
    embedding = load_embedding(store, scene.text())
    run = Run.create(store, config, [data.manifest, embedding.manifest], name=ID, id=ID, device="cpu")
    reduced = torch.randn(data.n_items, config.embedding_size)
    inputs = Inputs(n_items=data.n_items, text=torch.from_numpy(embedding.padded()), reduced=reduced)
    save_tensors(run.folder / MODEL, build(inputs, config).model.state_dict(), {})
    _policy(run, data, embedding.id).save(run)
    run.finish(Status(state="SUCCEEDED"), {}, {})


def _policy(run: Run, data: Dataset, embedding: str) -> TunedPolicy:
    """As tuning leaves it; its numbers are of the form that tuning finds and fit no data."""
    fitted = ScoringPolicy.model_validate(FITTED)
    return TunedPolicy(
        run=run.id,
        dataset=data.id,
        embedding=embedding,
        config=PolicyTuningConfig(),
        thresholds=data.thresholds,
        units={},
        users=0,
        seconds=0.0,
        created="",
        points=[PolicyPoint(policy=policy, metrics={}, users=0) for policy in (ScoringPolicy(), fitted)],
        sampled=[],
        chosen=1,
    )


def _peak(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1e6


def met(scene: Scene, histories: int, warm: float, seconds: float, settings: list[str]) -> dict[str, object]:
    """What an answer under the policy takes after ``warm`` seconds of load by so many users, and the share refused."""
    if ID not in scene.store.ids("runs"):
        _made(scene)
    data = scene.data()
    users = data.user_ids[:: max(data.n_users // histories, 1)][:histories].tolist()
    bodies = [json.dumps({"user": user, "policy": "tuned"}).encode() for user in users]
    process, port = start(scene.store, Run(scene.store, ID), "cpu", *settings, patience=PATIENCE)
    try:
        told: dict[str, object] = {"ready_cpu_s": round(processor(process), 1)}
        first = asyncio.run(load(port, bodies, CLIENTS, warm))
        told["refused_first"] = round(1 - len(first.seconds) / max(sum(first.statuses.values()), 1), 3)
        before = processor(process)
        outcome = asyncio.run(load(port, bodies, CLIENTS, seconds))
        answers = len(outcome.seconds)
        told["answers"] = answers
        told["cpu_ms"] = round(1000 * (processor(process) - before) / max(answers, 1), 2)
        told["refused"] = round(1 - answers / max(sum(outcome.statuses.values()), 1), 3)
        told["pss_gb"] = [round(_pss(one.pid), 2) for one in (process, *psutil.Process(process.pid).children())]
        return told
    finally:
        process.terminate()
        process.wait(120)


def _pss(pid: int) -> float:
    """Proportional set size in GB: a page of several processes counts in parts."""
    return int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("Pss:")[1].split()[0]) / 1e6


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a scene of growth.py, with its embedding")
    parser.add_argument("--histories", type=int, default=2_000, help="users who ask")
    parser.add_argument("--warm", type=float, default=10.0, help="seconds of load before anything is measured")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--set", action="append", default=[], help="a setting of the server, such as processes=2")
    asked = parser.parse_args()
    print(json.dumps(met(Scene(asked.root, 0, 0), asked.histories, asked.warm, asked.seconds, asked.set)))


if __name__ == "__main__":
    main()
