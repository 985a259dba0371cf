"""What a record keeps while work goes on."""

import json

import pytest

from llmesr.config import RunConfig
from llmesr.errors import UserError
from llmesr.runs.live import CHECKPOINTS, EVENTS
from llmesr.runs.record import Run
from llmesr.store import Store


@pytest.fixture
def run(tmp_path):
    return Run.create(Store(tmp_path), RunConfig(epochs=7), [], name="a run", device="cpu")


def test_starts_pending_with_its_total_and_settings(run):
    assert (run.status().state, run.status().epochs) == ("PENDING", 7)
    assert run.config == RunConfig(epochs=7)
    assert run.manifest.seed == 42


def test_events_survive_a_cut_line_and_can_be_taken_back(run):
    for epoch in (1, 2, 3):
        run.append_event({"epoch": epoch, "loss": 1 / epoch, **({"note": "x"} if epoch == 1 else {})})
    with open(run.folder / EVENTS, "a") as handle:
        handle.write('{"epoch": 4, "lo')
    assert run.events()["epoch"].tolist() == [1, 2, 3]
    run.truncate_events(2)
    lines = [json.loads(line) for line in (run.folder / EVENTS).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert "note" not in lines[1]


def test_sealing_leaves_out_checkpoints_and_what_may_still_change(run):
    (run.folder / CHECKPOINTS / "last.safetensors").write_bytes(b"x")
    (run.folder / "policy.json").write_text("{}")
    (run.folder / "adapter").mkdir()
    (run.folder / "adapter" / "weights").write_bytes(b"y")
    run.finish(run.status().model_copy(update={"state": "SUCCEEDED"}), {"train": 1.0}, {"best": 0.5})
    assert sorted(run.manifest.files) == ["adapter/weights", "config.yaml"]
    assert run.manifest.info == {"best": 0.5}
    assert run.status().state == "SUCCEEDED"


def test_an_id_is_used_once(run):
    with pytest.raises(UserError, match="llmesr resume"):
        Run.create(run.store, RunConfig(), [], name="again", id=run.id, device="cpu")
