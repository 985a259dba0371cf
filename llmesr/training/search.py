"""Search for the settings of a method that are best on validation: optuna proposes, ordinary runs answer.

What optuna knows is rebuilt before every trial from our own record of the finished ones, and its randomness follows
from the seed and the trial's number. A search that was stopped therefore goes on to the same trials as one that never
was. The test part decides nothing here: trials are judged by the events of their runs, which hold validation only.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
import torch
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from llmesr.config import RunConfig, SearchConfig, check_given, has_backbone, preset
from llmesr.config.needs import needs_text
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.errors import UserError
from llmesr.evaluation.table import event_metrics
from llmesr.progress import Progress, silent
from llmesr.runs.live import Status
from llmesr.runs.record import Run
from llmesr.runs.search import COMPLETE, FAILED, PRUNED, Search
from llmesr.semantic.embed import Embedding, default_embedding, load_embedding
from llmesr.store import Store
from llmesr.training.devices import pick_device
from llmesr.training.runtime import GiveUp
from llmesr.training.space import DECIDED, default_space, distributions
from llmesr.training.stopping import Pruned, Stopped, recorded_end, terminate
from llmesr.training.train import label, resume, train

_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}
ENOUGH = 10
"""Complete trials from which the importance of settings is more than chance."""


def search(
    dataset: Dataset,
    config: SearchConfig,
    store: Store,
    *,
    embedding: Embedding | None = None,
    search_id: str | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Search:
    """Try ``config.trials`` combinations of settings on ``dataset``; ``info["run"]`` of the result is the best run.

    Stopped by SIGTERM or an interrupt it raises :class:`~llmesr.training.stopping.Stopped`; :func:`resume_search`
    goes on.
    UserError when the space or a fixed setting is not valid, when text is missing, or when no trial came to an end.
    """
    config = settled(config)
    _check_group(dataset, config)
    on, base = pick_device(device), trial_config(config, {})
    parents = [dataset.manifest]
    if needs_text(base):
        embedding = embedding or default_embedding(store, dataset)
        parents.append(embedding.manifest)
    name = f"{dataset.name} search {label(base)} {config.seed}"
    groups = {"thresholds": dataset.thresholds.model_dump()}
    found = Search.create(store, config, parents, name=name, id=search_id, device=str(on), info=groups)
    with found.hold():
        return _Work(found, config, dataset, embedding, device, progress).carry_out()


def resume_search(found: Search, *, device: str = "auto", progress: Progress = silent) -> Search:
    """Go on with a search that was stopped or broke off. UserError when it is finished already, or when trials of one
    head and tail would be chosen from beside trials of another."""
    with found.hold():
        if found.status().state == "SUCCEEDED":
            raise UserError(f"Search {found.id!r} is finished; start another with other settings or seed.")
        dataset = load_dataset(found.store, found.dataset_id)
        kept = found.thresholds
        before = Thresholds.model_validate(kept) if kept else dataset.thresholds
        if found.config.objective != "Overall" and before != dataset.thresholds:
            raise UserError(
                f"The trials of {found.id!r} were measured by another head and tail than {dataset.name!r} has now "
                f"({before.describe()}) Set these again, or search anew."
            )
        text = found.manifest.parent("embeddings")
        embedding = load_embedding(found.store, text) if text else None
        return _Work(found, found.config, dataset, embedding, device, progress).carry_out()


def settled(config: SearchConfig) -> SearchConfig:
    """``config`` with method, backbone and space filled in. UserError when a setting or the space is not valid."""
    plain = RunConfig()
    fixed = {"method": plain.method, "backbone": plain.backbone, **config.fixed}
    if decided := [name for name in fixed if name in DECIDED]:
        raise UserError(f"Setting {decided[0]!r} of a trial follows from the search's own settings; leave it out.")
    config = config.but(fixed=fixed)
    base = trial_config(config, {})
    check_given(base, config.fixed, varied=config.space)
    space = config.space or default_space(base.method, base.backbone, fixed)
    distributions(space, fixed)
    return config.but(space=space)


def trial_config(config: SearchConfig, settings: dict[str, Any]) -> RunConfig:
    """The run of a trial. UserError when ``settings`` do not go together."""
    watched = {
        "monitor": config.metric,
        "monitor_group": "Overall" if config.objective == "Balanced" else config.objective,
        "monitor_protocol": config.protocol,
    }
    own = {"epochs": config.epochs, "seed": config.seed}
    start = preset(config.preset, str(config.fixed.get("backbone")))
    return RunConfig.read(None, **{**start, **config.fixed, **settings, **own, **watched})


def values(events: pd.DataFrame, config: SearchConfig) -> dict[int, float]:
    """What is maximised, at every epoch that was validated: epoch -> value."""
    groups = ("Overall", "Tail Item") if config.objective == "Balanced" else (config.objective,)
    columns = [f"{config.protocol}/{group}/{config.metric}" for group in groups]
    if not set(columns) <= set(events.columns):
        return {}
    known = events.dropna(subset=columns)
    mean = np.prod(known[columns].to_numpy(float), axis=1) ** (1 / len(columns))
    return dict(zip(known["epoch"].astype(int).tolist(), mean.tolist(), strict=True))


@dataclass
class _Work:
    """One search being carried out."""

    search: Search
    config: SearchConfig
    dataset: Dataset
    embedding: Embedding | None
    device: str
    progress: Progress

    def carry_out(self) -> Search:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search.truncate_events(self.config.trials)  # a line cut off by a crash goes
        with recorded_end(self.search):
            with terminate() as should_stop:
                for number in range(len(self.search.trials()) + 1, self.config.trials + 1):
                    self._report(number)
                    self.search.append_event(self._trial(number))
                    if should_stop() and number < self.config.trials:
                        raise Stopped
            self._finish()
        return self.search

    def _trial(self, number: int) -> dict[str, Any]:
        """Carry out one trial; its event."""
        started = time.perf_counter()
        trial = self._study(number).ask(self._space)
        if same := next((t for t in self.search.trials() if t["settings"] == trial.params), None):
            # Runs are deterministic: another one would end as that one did.
            same.pop("time")
            return {**same, "trial": number, "reason": f"the settings of trial {same['trial']}", "seconds": 0.0}
        reported: dict[int, float] = {}
        run_id = self.search.run_id(number)
        state, value, reason = COMPLETE, None, ""
        try:
            wanted = trial_config(self.config, trial.params)
            run = self._train(run_id, wanted, self._watch(number, trial, reported))
            if has_backbone(run.config.method):
                reported |= values(run.events(), self.config)
                value = reported[run.manifest.info["best_epoch"]]
            else:
                value = self._solved_value(run)
        except Pruned as why:
            state, value, reason = PRUNED, max(reported.values()), str(why)
        except (UserError, MemoryError, torch.OutOfMemoryError) as error:
            state, reason = FAILED, str(error) or "The machine ran out of memory."
        there = self.search.store.exists("runs", run_id)
        return {
            "trial": number,
            "state": state,
            "settings": trial.params,
            "value": value,
            "reported": reported,
            "run": run_id if there else None,
            "reason": reason,
            "seconds": round(time.perf_counter() - started, 3),
        }

    def _train(self, run_id: str, wanted: RunConfig, give_up: GiveUp) -> Run:
        store = self.search.store
        if not store.exists("runs", run_id):
            return train(
                self.dataset,
                wanted,
                store,
                embedding=self.embedding,
                run_id=run_id,
                device=self.device,
                give_up=give_up,
            )
        run = Run(store, run_id)  # from before this search was stopped
        return run if run.status().state == "SUCCEEDED" else resume(run, device=self.device, give_up=give_up)

    def _solved_value(self, run: Run) -> float:
        """What is maximised, of a run without epochs: from its ranks on validation."""
        found = event_metrics(run.per_user("valid"), self.dataset.thresholds, [self.config.metric])
        return values(pd.DataFrame([{"epoch": 1, **found}]), self.config)[1]

    def _watch(self, number: int, trial: optuna.Trial, reported: dict[int, float]) -> GiveUp:
        """Passes on each epoch's value, and gives up a run that optuna would prune."""

        def give_up(run: Run) -> str | None:
            for epoch, value in values(run.events(), self.config).items():
                if epoch not in reported:
                    trial.report(value, epoch)
                    reported[epoch] = value
            done, epochs = max(reported, default=0), self.config.epochs
            self.progress("searching", (number - 1) * epochs + done, self.config.trials * epochs)
            if reported and trial.should_prune():
                return f"after epoch {done} its best, {max(reported.values()):.4f}, is below the median of other trials"
            return None

        return give_up

    @property
    def _space(self) -> dict[str, BaseDistribution]:
        return distributions(self.config.space, self.config.fixed)

    def _study(self, number: int) -> optuna.Study:
        """What optuna knows before trial ``number``."""
        config = self.config
        seed = int(np.random.SeedSequence([config.seed % 2**32, number]).generate_state(1)[0])
        median = optuna.pruners.MedianPruner(n_startup_trials=config.random_trials, n_warmup_steps=config.warmup)
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=config.random_trials),
            pruner=median if config.pruning else optuna.pruners.NopPruner(),
        )
        study.add_trials([self._frozen(trial) for trial in self.search.trials()[: number - 1]])
        return study

    def _frozen(self, trial: dict[str, Any]) -> FrozenTrial:
        return create_trial(
            state=_STATES[trial["state"]],
            value=trial["value"] if trial["state"] == COMPLETE else None,
            params=trial["settings"],
            distributions=self._space,
            intermediate_values={int(epoch): value for epoch, value in trial["reported"].items()},
        )

    def _report(self, number: int) -> None:
        trials = self.search.trials()
        best = max((t["value"] for t in trials if t["state"] == COMPLETE), default=None)
        spent = sum(t["seconds"] for t in trials)
        left = spent / len(trials) * (self.config.trials - len(trials)) if trials else None
        self.progress("searching", len(trials) * self.config.epochs, self.config.trials * self.config.epochs)
        self.search.set_status(
            Status(
                state="RUNNING",
                epoch=len(trials),
                epochs=self.config.trials,
                best=best,
                seconds_left=None if left is None else round(left, 1),
                message=f"trial {number} of {self.config.trials}",
            )
        )

    def _finish(self) -> None:
        trials = self.search.trials()
        complete = [t for t in trials if t["state"] == COMPLETE]
        if not complete:
            raise UserError(f"No trial of search {self.search.id!r} came to an end. The last: {trials[-1]['reason']}")
        best = max(complete, key=lambda t: t["value"])
        info = {"run": best["run"], "trial": best["trial"], "value": best["value"], "importance": self._importance()}
        total = self.config.trials * self.config.epochs
        self.progress("searching", total, total)
        status = Status(state="SUCCEEDED", epoch=len(trials), epochs=len(trials), best=best["value"], seconds_left=0.0)
        self.search.finish(status, {"trials": round(sum(t["seconds"] for t in trials), 3)}, info)

    def _importance(self) -> dict[str, float]:
        """Share of each setting in telling the best tenth of the complete trials from the rest (PED-ANOVA, Watanabe
        et al. 2023), greatest first; empty when there are too few."""
        study = self._study(self.config.trials + 1)
        if len(study.get_trials(states=[TrialState.COMPLETE])) < ENOUGH:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # optuna calls the evaluator experimental
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(study, evaluator=evaluator)
        return {name: round(float(share), 4) for name, share in found.items() if math.isfinite(share)}


def _check_group(dataset: Dataset, config: SearchConfig) -> None:
    """UserError when nobody on validation is in the group that is judged."""
    users, targets = dataset.split.users("valid"), dataset.split.targets("valid")
    members = dataset.thresholds.members(dataset.item_counts[targets], dataset.split.train_lengths[users])
    group = "Tail Item" if config.objective == "Balanced" else config.objective
    if not members[group].any():
        where = "" if group == "Overall" else f" is in {group!r} ({dataset.thresholds.describe()})"
        raise UserError(f"Nobody to validate on{where} in dataset {dataset.name!r}; choose another objective.")
