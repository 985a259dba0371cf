"""A claim that one configuration ranks better than another: what it rests on, what it lacks, what would overturn it.

A claim is made of runs that are there. What it lacks is written down as trainings
(:mod:`llmesr.evaluation.lacking`), so that a command or a job can run exactly those; then the claim is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from llmesr.config import GROUPS
from llmesr.data.dataset import Dataset, load_dataset, split_of
from llmesr.data.groups import Thresholds
from llmesr.data.splitting import siblings
from llmesr.errors import UserError
from llmesr.evaluation.across import BUDGET, like, longest, repeatable
from llmesr.evaluation.comparison import Comparison, compare_runs
from llmesr.evaluation.contenders import Contender, best_of_each, contenders
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.origins import identity
from llmesr.evaluation.verdict import WHERE, Answer, Verdict
from llmesr.prose import listed
from llmesr.runs.record import Run, list_runs
from llmesr.store import Store


@dataclass(frozen=True, eq=False)
class InTime:
    """The claim under a temporal split of the same data. ``dataset``: its id, None where the data was not split so yet;
    ``sides``: the run and the baseline there, None where a side was not trained; ``comparison`` of both."""

    dataset: str | None
    sides: tuple[Contender | None, Contender | None]
    comparison: Comparison | None


@dataclass(frozen=True, eq=False)
class Claim:
    """``comparison``: the run against the baseline; ``elsewhere``: the same under the other protocol; ``rivals``: the
    best of every other method against the run (which is the baseline there); ``in_time``: the same under a temporal
    split, None where there can be none; ``split``: in a sentence; ``timed``: whether the data has times,
    ``cut_in_time``: whether it is split by them already."""

    comparison: Comparison
    elsewhere: Comparison
    rivals: Comparison
    in_time: InTime | None
    split: str
    timed: bool
    cut_in_time: bool

    @property
    def run(self) -> Contender:
        return next(c for c in self.comparison.chosen if c.name != self.comparison.baseline.name)

    @property
    def baseline(self) -> Contender:
        return self.comparison.baseline

    @property
    def metric(self) -> str:
        return self.comparison.metrics[0]

    @cached_property
    def verdict(self) -> Verdict:
        return self.comparison.verdicts[0]

    @property
    def doubts(self) -> Sequence[Doubt]:
        return self.comparison.doubts

    @property
    def stands(self) -> bool:
        """Whether the run is better overall, with nothing serious against it."""
        overall = self.verdict.answer(GROUPS[0])
        return not self.verdict.doubts and overall is not None and overall.outcome == "better"

    @property
    def standing(self) -> str:
        """What has become of the claim, in a few words, with the protocol or the split that it does not hold under;
        only so far, where a split in time was not tried, or not fairly."""
        if self.verdict.doubts:
            return "Not settled"
        if not self.stands:
            return "It does not stand"
        if self._outcome(self.elsewhere) == "worse":
            return f"It stands under {self.comparison.protocol} alone, not under {self.elsewhere.protocol}"
        if self.in_time is None:
            return "It stands"
        if self.in_time.comparison is None or self.in_time.comparison.verdicts[0].doubts:
            return "It stands so far"
        in_time = self._outcome(self.in_time.comparison) == "better"
        return "It stands" if in_time else "It stands under leave-one-out; a temporal split does not show it"

    @staticmethod
    def _outcome(comparison: Comparison) -> str:
        """What a comparison of two comes to overall."""
        overall = comparison.verdicts[0].answer(GROUPS[0])
        return "few" if overall is None else overall.outcome

    @property
    def title(self) -> str:
        """Who against whom."""
        return f"{self.run.name} against {self.baseline.name}"

    @property
    def sentence(self) -> str:
        """The claim in one sentence, qualified as far as it must be."""
        return f"{self.title}: {self.verdict.sentence()}"

    @property
    def tested_against(self) -> list[tuple[Contender, Answer, list[Doubt]]]:
        """The best of every other method on validation, the run's lead over it overall (positive: ahead), and what is
        serious about the two of them."""
        found = []
        for verdict in self.rivals.verdicts:
            answer = verdict.answer(GROUPS[0])
            rival = next(c for c in self.rivals.chosen if c.name == verdict.run)
            if answer is not None:
                # Whether a baseline is strong enough is asked of the claim's own, not of the run in its place.
                doubts = [d for d in verdict.doubts if d.kind not in ("weak-baseline", "search")]
                claimed = rival.name == self.baseline.name
                found.append((rival, _turned(answer), list(self.verdict.doubts) if claimed else doubts))
        return found

    @property
    def overturned_by(self) -> list[str]:
        """What would take the claim back, in sentences made of its numbers."""
        overall, said = self.verdict.answer(GROUPS[0]), []
        if overall is not None and overall.outcome == "better":
            said.append(
                f"A baseline that gains {overall.low:.3f} {self.metric} overall (better settings, more training) "
                "leaves no sure difference."
            )
        unbeaten = [c.name for c, a, _ in self.tested_against if a.outcome not in ("better", "few")]
        if unbeaten:
            said.append(f"It does not hold against every method that is here: {', '.join(unbeaten)}.")
        other = self.elsewhere.verdicts[0]
        there = other.answer(GROUPS[0])
        if overall is not None and there is not None and overall.outcome != there.outcome:
            said.append(f"Under {self.elsewhere.protocol} the answer is another: {other.sentence()}")
        worse = [WHERE[a.group] for a in self.verdict.answers if a.outcome == "worse" and a.group in WHERE]
        if worse and overall is not None and overall.outcome != "worse":
            said.append(f"It is behind {listed(worse)}: whoever cares for that first will not take it.")
        said += [doubt.sentence for doubt in self.doubts]
        return said + self._of_another_time()

    def _of_another_time(self) -> list[str]:
        """What a split in time says, or could say."""
        leak = "Leave-one-out lets models see what other users chose after the moment they are asked about. "
        if self.in_time is None:
            if self.cut_in_time:
                return ["Other users, another time: this was one period."]
            if self.timed:
                return [
                    f"{leak}These runs cannot be made again under another split, so nothing shows whether it matters."
                ]
            return [f"{leak}This data has only an order, no times, so nothing here can show whether that matters."]
        there = self.in_time.comparison
        if there is None:
            return [f"{leak}A temporal split of the same data would show whether that matters; it lacks these runs."]
        here, then = self.verdict.answer(GROUPS[0]), there.verdicts[0].answer(GROUPS[0])
        if here is None or then is None or here.outcome == then.outcome:
            return ["Other users, another time: this was one period."]
        return [f"Under a temporal split the answer is another: {there.verdicts[0].sentence()}"]


def make_claim(
    store: Store,
    run: Run,
    baseline: Run,
    *,
    metric: str = "NDCG@10",
    protocol: str = "full",
    thresholds: Thresholds | None = None,
) -> Claim:
    """The claim that the configuration of ``run`` is better than that of ``baseline``, from all their seeds.

    Where a configuration was trained again with a longer budget, that one is taken; where the scoring of ``run`` was
    tuned, so is that of the baseline, once it is there. ``thresholds``: the dataset's own when absent. UserError when
    the two are one configuration or cannot be compared, or one is an older repetition of another run.
    """
    asked = compare_runs(
        store, [run, baseline], baseline=baseline, metrics=(metric,), protocol=protocol, thresholds=thresholds
    )
    if len(asked.chosen) < 2:
        raise UserError("A claim needs two configurations; these two runs differ in nothing but the seed.")
    ours, base = (_settled(_whole(r, asked.everyone), asked.everyone) for r in (run, baseline))
    base = _tuned_alike(ours, base, asked.everyone)
    pair = replace(asked, chosen=[base, ours], baseline=base)
    other = replace(pair, protocol="uni100" if protocol == "full" else "full")
    taken = {*ours.ids, *base.ids}
    rest = [c for c in asked.everyone if not taken & set(c.ids)]
    best = [c for c in best_of_each(rest, asked.validation) if c.method not in (ours.method, base.method)]
    data = load_dataset(store, run.dataset_id)
    return Claim(
        comparison=pair,
        elsewhere=other,
        rivals=replace(pair, chosen=[ours, base, *best], baseline=ours),
        in_time=_in_time(store, data, ours, base, pair),
        split=data.split_config.describe(),
        timed=data.has_times,
        cut_in_time=data.split_config.kind == "temporal",
    )


def _in_time(store: Store, data: Dataset, ours: Contender, base: Contender, pair: Comparison) -> InTime | None:
    """The two sides under the newest temporal split of the same data that has most of them."""
    made_here = all(repeatable(c) for c in (ours, base))
    if data.split_config.kind != "leave-one-out" or not data.has_times or not made_here:
        return None
    found = InTime(None, (None, None), None)
    for sibling in siblings(store, data.id)[::-1]:
        if split_of(sibling).kind != "temporal":  # itself, or the same data read twice
            continue
        finished = [r for r in list_runs(store, sibling.id) if r.status().state == "SUCCEEDED"]
        everyone = contenders(finished)
        run, baseline = like(ours, everyone, store), like(base, everyone, store)
        if found.dataset is not None and sum(map(bool, (run, baseline))) <= sum(map(bool, found.sides)):
            continue
        comparison = None
        if run is not None and baseline is not None:
            thresholds = load_dataset(store, sibling.id).thresholds
            chosen = [baseline, run]
            comparison = replace(pair, chosen=chosen, baseline=baseline, everyone=everyone, thresholds=thresholds)
        found = InTime(sibling.id, (run, baseline), comparison)
    return found


def _whole(run: Run, everyone: Sequence[Contender]) -> Contender:
    """The contender of a run with all its seeds. UserError where a newer one counts in place of the run."""
    for contender in everyone:
        if run.id in contender.ids:
            return contender
    raise UserError(f"Run {run.id!r} is an older repetition of another one, which counts in its place: name that one.")


def _settled(contender: Contender, everyone: Sequence[Contender]) -> Contender:
    """The same configuration with the longest budget it was trained with."""
    wanted = _but_budget(contender)
    twins = [c for c in everyone if _but_budget(c) == wanted]
    return max(twins, key=longest)


def _tuned_alike(ours: Contender, base: Contender, everyone: Sequence[Contender]) -> Contender:
    """The baseline under a policy of its own, where the scoring of the run was tuned and its own was too."""
    if not ours.tuned or base.tuned:
        return base
    return next((c for c in everyone if c.tuned and _models(c) <= set(base.ids)), base)


def _models(c: Contender) -> set[str]:
    """The ids of the runs whose models a tuned contender uses."""
    return {str(m.info["policy"]["run"]) for m in c.manifests}


def _but_budget(c: Contender) -> tuple[Any, ...]:
    manifest = c.manifests[0]
    return (c.ids,) if c.tuned else identity(c.runs[0].store, manifest, but=BUDGET)


def _turned(a: Answer) -> Answer:
    """An answer from the other side."""
    outcomes = {"better": "worse", "worse": "better"}
    outcome = outcomes.get(a.outcome, a.outcome)
    return replace(a, outcome=outcome, difference=-a.difference, low=-a.high, high=-a.low)  # type: ignore[arg-type]
