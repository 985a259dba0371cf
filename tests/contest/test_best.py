"""The best recommender within a time: tried, judged on validation, chosen, explained, stopped and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from factories import make_embedding
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.config import BestConfig, RunConfig
from llmesr.contest import find as finding
from llmesr.contest import make as making
from llmesr.contest.candidates import candidates
from llmesr.contest.clock import FASTEST, SLOWEST, Clock, blending, growing, solving
from llmesr.contest.find import best, planned, resume_best
from llmesr.contest.judge import best_of, shares
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.runs.contest import JUDGED, LEFT_OUT, UNFINISHED, Contest
from llmesr.runs.live import Status
from llmesr.runs.record import Run
from llmesr.scoring.recommender import Recommender
from llmesr.scoring.scored_run import ScoredRun
from llmesr.store import Store
from llmesr.training.stopping import Stopped

SMALL = {"embedding_size": 8, "layers": 1, "epochs": 2, "dropout": 0.0}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequence models of a size that trains in a moment."""

    def smaller(dataset: Dataset, *, text: bool) -> list[Any]:
        return [
            c if c.kind != "trained" else type(c)(c.name, c.kind, {**c.settings, **SMALL})
            for c in candidates(dataset, text=text)
        ]

    monkeypatch.setattr("llmesr.contest.find.candidates", smaller)


def test_shares_of_the_best_are_averaged_over_protocols() -> None:
    measures = {
        "close": {"full/Overall/NDCG@10": 0.2, "uni100/Overall/NDCG@10": 0.2},
        "popular": {"full/Overall/NDCG@10": 0.05, "uni100/Overall/NDCG@10": 0.4},
        "both": {"full/Overall/NDCG@10": 0.19, "uni100/Overall/NDCG@10": 0.38},
    }
    found = shares(list(measures.values()), BestConfig())
    assert found == pytest.approx([0.75, 0.625, 0.95])
    assert best_of(measures, BestConfig()) == "both"
    assert best_of({"first": measures["close"], "second": measures["close"]}, BestConfig()) == "first"
    assert shares([{}, {}], BestConfig()) == [0.0, 0.0]
    tail = {"full/Tail Item/NDCG@10": 0.3, "uni100/Tail Item/NDCG@10": 0.3}
    assert best_of({**measures, "tail": {**measures["close"], **tail}}, BestConfig(objective="balanced")) == "tail"


def test_the_best_run_says_what_it_was_chosen_from_and_serves(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    found = best(tiny, BestConfig(minutes=20), store, device="cpu")
    entries = found.entries()
    assert [e["candidate"] for e in entries] == [c.name for c in candidates(tiny, text=True)]
    assert {e["state"] for e in entries} == {JUDGED}, [e["reason"] for e in entries]
    info = found.manifest.info
    assert found.status().state == "SUCCEEDED"
    assert max(info["shares"], key=info["shares"].get) == info["candidate"]
    run = Run(store, info["run"])
    chosen = run.manifest.info["chosen_from"]
    assert chosen["contest"] == found.id
    assert [e["candidate"] for e in chosen["candidates"]] == [e["candidate"] for e in entries]
    for manifest in store.list("runs"):  # those made of the best run name its manifest as it is now
        assert all(store.digest(p.kind, p.id) == p.digest for p in manifest.parents)
    answer = Recommender(ScoredRun(store, run)).recommend([3, 9, 21], 5)
    assert len(answer) == 5
    with pytest.raises(UserError, match="is finished"):
        resume_best(found)


def test_without_text_and_with_hardly_any_data(store: Store, tmp_path: Any) -> None:
    rows = [f"u{u},i{(u + s) % 4},{s}" for u in range(3) for s in range(4)]
    (tmp_path / "few.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    data = llmesr.ingest(tmp_path / "few.csv", name="few", store=store)
    found = best(data, BestConfig(minutes=5), store, device="cpu")
    names = [e["candidate"] for e in found.entries()]
    assert not [n for n in names if "text" in n or "llm" in n]
    assert store.exists("runs", found.manifest.info["run"])
    assert llmesr.best(data, minutes=5.0, store=store).manifest.info["chosen_from"]["candidates"]


def test_on_a_temporal_split(store: Store, tiny: Dataset) -> None:
    split = llmesr.split(tiny, kind="temporal", store=store)
    make_embedding(store, split)
    found = best(split, BestConfig(minutes=20, objective="balanced"), store, device="cpu")
    assert {e["state"] for e in found.entries()} == {JUDGED}, [e["reason"] for e in found.entries()]


@pytest.mark.slow
def test_stopped_it_goes_on_and_chooses_as_if_it_had_not(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_embedding(store, tiny)
    whole = best(tiny, BestConfig(minutes=20), store, device="cpu")
    with monkeypatch.context() as patch:

        def interrupted(*args: Any, **options: Any) -> Run:
            raise Stopped

        patch.setattr(making, "blend", interrupted)
        with pytest.raises(Stopped):
            best(tiny, BestConfig(minutes=20), store, contest_id="halted", device="cpu")
    halted = Contest(store, "halted")
    assert halted.status().state == "STOPPED"
    before = [e["run"] for e in halted.entries()]
    assert before
    resume_best(halted, device="cpu")
    assert [e["run"] for e in halted.entries()][: len(before)] == before
    assert halted.manifest.info["candidate"] == whole.manifest.info["candidate"]
    assert [e["metrics"] for e in halted.entries()] == [e["metrics"] for e in whole.entries()]


def few(names: tuple[str, ...]) -> Any:
    return lambda dataset, *, text: [c for c in candidates(dataset, text=text) if c.name in names]


def test_gone_on_with_it_keeps_its_text_and_the_time_that_is_left(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped forty seconds into its second candidate; meanwhile somebody embeds the items otherwise."""
    monkeypatch.setattr(finding, "candidates", few(("semantic-knn", "text-ease")))
    text = make_embedding(store, tiny, id="first")
    make = making.make

    def interrupted(work: Any, candidate: Any, *given: Any) -> Run:
        if candidate.name != "text-ease":
            return make(work, candidate, *given)
        work.clock._started -= 40.0
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(finding, "make", interrupted)
        with pytest.raises(Stopped):
            best(tiny, BestConfig(minutes=5), store, contest_id="halted", device="cpu")
    halted = Contest(store, "halted")
    assert halted.manifest.parent("embeddings") == text.id
    assert halted.status().state == "STOPPED"
    assert halted.spent >= 40
    make_embedding(store, tiny, id="newer")
    resume_best(halted, device="cpu")
    assert {store.manifest("runs", e["run"]).parent("embeddings") for e in halted.entries()} == {text.id}
    assert halted.spent >= 40
    assert halted.manifest.timings["candidates"] >= 40


def test_one_begun_before_its_text_was_kept_reads_what_its_runs_read(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "candidates", few(("semantic-knn",)))
    text = make_embedding(store, tiny, id="first")
    found = best(tiny, BestConfig(minutes=5), store, contest_id="old", device="cpu")
    with store.changing("contests", "old") as manifest:
        manifest.parents = [p for p in manifest.parents if p.kind != "embeddings"]
        del manifest.info["text"]
    make_embedding(store, tiny, id="newer")
    found.set_status(Status(state="STOPPED"))
    assert found.spent == sum(e["seconds"] for e in found.entries())  # all that was kept then
    monkeypatch.setattr(finding, "candidates", few(("semantic-knn", "text-ease")))
    resume_best(found, device="cpu")
    assert {store.manifest("runs", e["run"]).parent("embeddings") for e in found.entries()} == {text.id}


def test_without_text_when_it_began_it_stays_without(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def noting(dataset: Dataset, *, text: bool) -> list[Any]:
        seen.append(text)
        return [c for c in candidates(dataset, text=text) if c.name == "popularity"]

    monkeypatch.setattr(finding, "candidates", noting)
    monkeypatch.setattr(finding, "reading", lambda _: 1e9)
    found = best(tiny, BestConfig(minutes=5), store, device="cpu")
    make_embedding(store, tiny)
    found.set_state("STOPPED", "")
    resume_best(found, device="cpu")
    assert seen == [False, False]


def test_what_does_not_fit_the_time_is_left_out_and_says_so(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmesr.contest.clock.training", lambda *_: (1e6, 1e6))
    make_embedding(store, tiny)
    found = best(tiny, BestConfig(minutes=5), store, device="cpu")
    states = {e["candidate"]: e["state"] for e in found.entries()}
    assert states["llm-init"] == states["blend"] == states["policy"] == LEFT_OUT
    assert states["blend of linear"] == JUDGED
    reasons = {e["candidate"]: e["reason"] for e in found.entries()}
    assert "it would take about 277 h" in reasons["llm-init"]
    assert reasons["policy"] == "llm-init or llm-esr is missing"
    late = [c.name for c, _, fits in planned(tiny, BestConfig(minutes=5), store) if not fits]
    assert late == ["llm-init", "llm-esr"]


def test_a_training_ends_when_its_time_is_up(store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding._Work, "_reserved", lambda *_: 1e9)  # no time is left for a training once it has begun
    monkeypatch.setattr("llmesr.contest.clock.training", lambda *_: (0.0, -1e12))
    make_embedding(store, tiny)
    found = best(tiny, BestConfig(minutes=5), store, device="cpu")
    entry = next(e for e in found.entries() if e["candidate"] == "llm-init")
    assert entry["state"] == UNFINISHED
    assert Run(store, entry["run"]).status().state == "STOPPED"
    assert found.status().state == "SUCCEEDED"


def test_the_command_tells_what_was_tried(store: Store, tiny: Dataset) -> None:
    make_embedding(store, tiny)
    asked = ["best", "tiny", "--minutes", "5", "--device", "cpu", "--run-id", "here", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["contest"] == "here"
    assert said["run"] in {e["run"] for e in said["candidates"]}
    assert "In 5 min 00 s, about: popularity" in done.stderr
    again = CliRunner().invoke(app, ["best", "--resume", "here"])
    assert again.exit_code != 0


def test_validation_of_a_blend_is_that_of_weights_fitted_on_others(
    store: Store, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llmesr.evaluation.results import evaluate_parts
    from llmesr.models.folded import Folded
    from llmesr.training.train import train

    seen: list[Any] = []

    def noted(scorers: Any, *args: Any, **options: Any) -> Any:
        seen.append(scorers)
        return evaluate_parts(scorers, *args, **options)

    monkeypatch.setattr("llmesr.scoring.blend.evaluate_parts", noted)
    runs = [train(tiny, RunConfig.read(None, method=m), store) for m in ("ease", "item-knn")]
    made = llmesr.blend(*runs)
    judging = seen[0]["valid"]
    assert isinstance(judging, Folded)
    users = tiny.split.users("valid")
    fold = judging.fold.numpy()[users]
    assert set(fold) == {0, 1}
    assert abs(np.mean(fold) - 0.5) < 0.1
    first, second, all_of_them = judging.scorers
    assert (first.weights != second.weights).any()  # type: ignore[attr-defined]
    assert (all_of_them.weights == seen[0]["test"].weights).all()  # type: ignore[attr-defined]
    assert "cross-fitted" in made.manifest.info["validation"]


def test_what_is_tried_follows_from_the_text(tiny: Dataset) -> None:
    read = {c.name: c for c in candidates(tiny, text=True)}
    blind = {c.name: c for c in candidates(tiny, text=False)}
    assert not any("text" in name or "llm" in name or "semantic" in name for name in blind)
    assert read["blend"].of[0] == ("llm-init", "llm-esr")
    assert blind["blend"].of == (("id",), ("ease", "ease, stronger ridge"), ("item-knn",), ("markov",))
    assert blind["blend with trees"].of == (("id",), ("ease", "ease, stronger ridge"), ("item-knn",), ("markov",))
    assert read["blend with trees"].settings == {"trees": True}
    assert not blind["blend with trees"].also
    near = [read[name] for name in read["blend with trees"].also]
    assert {c.settings["method"] for c in near} == {"semantic-knn"}
    assert len({tuple(sorted(c.settings.items())) for c in [*near, read["semantic-knn"]]}) == 1 + len(near) > 3
    for found in (read, blind):
        names = list(found)
        for candidate in found.values():  # what a sum or a policy is made of comes before it
            assert all(names.index(name) < names.index(candidate.name) for of in candidate.of for name in of)


def test_one_surprise_does_not_leave_out_what_follows() -> None:
    clock = Clock(600)
    clock.learn([(25.0, 0.01)])
    assert clock.pace == SLOWEST
    clock.learn([(0.01, 25.0)])
    assert clock.pace == FASTEST
    clock.learn([(4.0, 1.0), (2.0, 2.0)])
    assert clock.pace == 2.0


def test_a_blend_takes_what_its_members_took_to_rank(tiny: Dataset) -> None:
    users = {part: len(tiny.split.users(part)) for part in ("valid", "test")}
    again = 1 + users["valid"] / sum(users.values())  # all of validation is fitted on, then everybody is ranked
    assert blending(tiny, [10.0, 20.0], 1.0) == pytest.approx(2 + again * 30)
    assert growing(tiny, 9, 4.0) == 4 * growing(tiny, 9) > 4 * growing(tiny, 3) > 0
    assert blending(tiny, [10.0, None], 4.0) > blending(tiny, [10.0, None], 1.0) > blending(tiny, [10.0], 1.0)


def test_long_histories_are_thought_to_take_longer(tiny: Dataset) -> None:
    config = RunConfig(method="item-knn")
    long = replace(tiny, items=np.repeat(tiny.items, 10), offsets=tiny.offsets * 10, timestamps=None)
    assert solving(config, long) > solving(config, tiny) > 1
    assert solving(RunConfig(method="text-ease"), tiny) > solving(config, tiny)
