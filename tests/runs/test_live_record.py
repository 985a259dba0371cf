"""What a record keeps while work goes on."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llmesr.config import BestConfig, RunConfig, SearchConfig, StudyConfig
from llmesr.errors import UserError
from llmesr.runs.contest import Contest
from llmesr.runs.live import EVENTS
from llmesr.runs.record import Run
from llmesr.runs.search import Search
from llmesr.runs.study import Study
from llmesr.store import Store


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(Store(tmp_path), RunConfig(epochs=7), [], name="a run", device="cpu")


def test_starts_pending_with_its_total_and_settings(run: Run) -> None:
    assert (run.status().state, run.status().epochs) == ("PENDING", 7)
    assert run.config == RunConfig(epochs=7)
    assert run.manifest.seed == 42


def test_events_survive_a_cut_line_and_can_be_taken_back(run: Run) -> None:
    for epoch in (1, 2, 3):
        run.append_event({"epoch": epoch, "loss": 1 / epoch, **({"note": "x"} if epoch == 1 else {})})
    with open(run.folder / EVENTS, "a") as handle:
        handle.write('{"epoch": 4, "lo')
    assert run.events()["epoch"].tolist() == [1, 2, 3]
    run.truncate_events(2)
    lines = [json.loads(line) for line in (run.folder / EVENTS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert "note" not in lines[1]


def test_sealing_leaves_out_checkpoints_and_what_may_still_change(run: Run) -> None:
    run.checkpoint("last.safetensors").write_bytes(b"x")
    (run.folder / "policy.json").write_text("{}")
    (run.folder / "adapter").mkdir()
    (run.folder / "adapter" / "weights").write_bytes(b"y")
    run.finish(run.status().model_copy(update={"state": "SUCCEEDED"}), {"train": 1.0}, {"best": 0.5})
    assert sorted(run.manifest.files) == ["adapter/weights", "config.yaml"]
    assert run.manifest.info == {"best": 0.5}
    assert run.status().state == "SUCCEEDED"


def test_an_id_is_used_once(run: Run) -> None:
    with pytest.raises(UserError, match="llmesr resume"):
        Run.create(run.store, RunConfig(), [], name="again", id=run.id, device="cpu")


def test_a_run_is_there_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while its settings are written, a run leaves nothing that stands in the way of the next attempt."""
    store = Store(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("llmesr.runs.live._write_status", killed)
        with pytest.raises(KeyboardInterrupt):
            Run.create(store, RunConfig(), [], name="r", id="r-1", device="cpu")
    assert store.ids("runs") == []
    assert Run.create(store, RunConfig(), [], name="r", id="r-1", device="cpu").status().state == "PENDING"


def test_the_remains_of_earlier_versions_give_way(tmp_path: Path) -> None:
    """They made the folder first and the manifest last."""
    store = Store(tmp_path)
    store.path("runs", "r-1").joinpath("checkpoints").mkdir(parents=True)
    assert "incomplete" in store.broken("runs")["r-1"]
    assert Run.create(store, RunConfig(), [], name="r", id="r-1", device="cpu").config == RunConfig()
    assert store.broken("runs") == {}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"state": "DANCING"}', b"\xff\xfe"])
def test_a_damaged_status_is_a_failure_that_says_so(run: Run, content: bytes) -> None:
    run.finish(run.status().model_copy(update={"state": "SUCCEEDED"}), {}, {})
    assert run.store.finished("runs", run.id)
    (run.folder / "status.json").write_bytes(content)
    assert run.status().state == "FAILED"
    assert "status.json is damaged" in run.status().message
    assert f"`llmesr resume {run.id}`" in run.status().message
    assert not run.store.finished("runs", run.id)
    run.set_state("STOPPED", "mended")
    assert run.status().state == "STOPPED"


@pytest.mark.parametrize("name", ["metrics.json", "top_items.safetensors", "per_user.parquet"])
def test_a_damaged_evaluation_names_the_run_and_the_remedy(run: Run, name: str) -> None:
    (run.folder / name).write_bytes(b"\x00{")
    read = {"metrics.json": run.metrics, "top_items.safetensors": run.top_items, "per_user.parquet": run.per_user}
    with pytest.raises(UserError, match=f"Run '{run.id}' is damaged: {name} cannot be read.*Evaluate it again"):
        read[name]()


def test_damaged_events_hide_no_others(run: Run) -> None:
    run.append_event({"epoch": 1, "loss": 1.0})
    with open(run.folder / EVENTS, "ab") as handle:
        handle.write(b'\xff\xfe\n5\n{"epoch": 2, "loss": 0.5}\n')
    assert run.events()["epoch"].tolist() == [1, 2]


NONSENSE: tuple[Any, ...] = (None, [], {}, "x", -1, True, [[[]]], {"a": [1]})
ENTRY: dict[str, Any] = {
    "candidate": "ease",
    "kind": "solved",
    "state": "judged",
    "run": None,
    "metrics": {},
    "reason": "",
}
TRIAL: dict[str, Any] = {
    "trial": 1,
    "state": "failed",
    "settings": {},
    "value": None,
    "reported": {},
    "run": None,
    "reason": "",
}


def test_an_event_of_another_shape_does_not_count(tmp_path: Path) -> None:
    contest = Contest.create(Store(tmp_path), BestConfig(), [], name="a contest", device="cpu")
    space = {"layers": [1, 2]}
    fixed = {"method": "id", "backbone": "sasrec"}
    search = Search.create(Store(tmp_path), SearchConfig(fixed=fixed, space=space), [], name="a search", device="cpu")
    for live, event in ((contest, ENTRY), (search, TRIAL)):
        live.append_event({**event, "seconds": 2.0})
        for name in event:
            for value in NONSENSE:
                live.append_event({**event, "seconds": 2.0, name: value})
        live.append_event({**event, "seconds": [[[]]]})
        live.append_event({**event, "seconds": 3.0})
    assert contest.spent >= 5.0
    assert all(isinstance(entry["metrics"], dict) for entry in contest.entries())
    assert len(search.table()) == len(search.trials()) >= 2
    for nonsense in NONSENSE:
        with search.store.changing("searches", search.id) as manifest:
            manifest.config["fixed"] = nonsense
        assert re.fullmatch(r"[a-z0-9/-]+", search.label)


def test_a_table_of_another_shape_is_a_sentence(tmp_path: Path) -> None:
    study = Study.create(Store(tmp_path), StudyConfig(), [], name="a study", device="cpu")
    for rows in (["x", "xy"], [{"judge": "a"}], {"a": 1}, 5):
        study.write_table(rows)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=r"table.json is damaged.*hold it again"):
            study.table()


@pytest.mark.parametrize("method", ["**bold** <b>", ":material/home: $x$", "[a](javascript:b)"])
def test_a_method_from_elsewhere_puts_nothing_but_letters_into_headings(run: Run, method: str) -> None:
    assert run.label == "llm-esr/sasrec"
    with run.store.changing("runs", run.id) as manifest:
        manifest.config["method"] = method
    assert re.fullmatch(r"[a-z0-9/-]+", run.label)
