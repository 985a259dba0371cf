"""What other tools are given: whole, with ids, and once however often it is asked for."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from factories import make_dataset, make_embedding, make_run, make_running_run
from typer.testing import CliRunner

import llmesr
from llmesr.cli.main import app
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.exports import formats, tables, tracking
from llmesr.runs.record import Run
from llmesr.store import Store


@pytest.fixture
def data(store: Store) -> Dataset:
    return make_dataset(store, users=60, items=40)


@pytest.fixture
def run(store: Store, data: Dataset) -> Run:
    return make_run(store, data, "llm-esr", seed=42)


def export(*words: object) -> list[str]:
    result = CliRunner().invoke(app, ["export", *map(str, words), "--json"], catch_exceptions=False)
    made: list[str] = json.loads(result.stdout)["written"]
    return made


@pytest.fixture
def mlflow_at(tmp_path: Path) -> str:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    return f"sqlite:///{tmp_path}/mlflow.db"


def logged(where: str) -> list[Any]:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=where)
    found = client.search_experiments()
    return list(client.search_runs([e.experiment_id for e in found]))


def test_mlflow_has_a_run_once_with_its_settings_and_metrics(run: Run, mlflow_at: str) -> None:
    first = tracking.to_mlflow(run, mlflow_at)
    assert tracking.to_mlflow(run, mlflow_at) == first
    (found,) = logged(mlflow_at)
    assert found.info.status == "FINISHED"
    assert found.data.params["method"] == "llm-esr"
    assert found.data.tags["llmesr.run"] == run.id
    rows = [r for r in run.metrics() if r["dimension"] in ("overall", "item", "user")]
    wanted = {f"test/{r['protocol']}/{r['group']}/{r['metric']}": r["value"] for r in rows}
    assert len({r["protocol"] for r in rows}) == 2
    for key, value in wanted.items():
        name = key.replace("@", "_at_").replace(" ", "_")
        assert found.data.metrics[name] == pytest.approx(value), name
    import mlflow

    curve = mlflow.MlflowClient(tracking_uri=mlflow_at).get_metric_history(first, "loss")
    assert [(m.step, m.value) for m in curve] == [tuple(v) for v in run.events()[["epoch", "loss"]].to_numpy()]


def test_mlflow_shows_when_a_run_was_trained_and_on_what(store: Store, data: Dataset, mlflow_at: str) -> None:
    """Its page lists names, times and datasets: seeds are told apart, and the export is not taken for the training."""
    runs = [make_run(store, data, "llm-esr", seed=s) for s in (42, 43)]
    for run in runs:
        tracking.to_mlflow(run, mlflow_at)
    found = {r.info.run_name: r for r in logged(mlflow_at)}
    assert set(found) == {r.id for r in runs}
    made = found[runs[0].id]
    begun = pd.Timestamp(runs[0].manifest.created).timestamp() * 1000
    assert made.info.start_time == pytest.approx(begun, abs=1)
    assert made.info.end_time >= made.info.start_time
    assert [d.dataset.name for d in made.inputs.dataset_inputs] == [store.manifest("datasets", data.id).name]


def test_losses_are_not_called_validation(run: Run) -> None:
    names = {name for name, _, _ in tracking.curves(run)}
    assert not [n for n in names if n.startswith("valid/loss")]
    assert [n for n in names if n.startswith(("valid/full/", "valid/uni100/"))]


def test_mlflow_takes_a_run_anew_that_has_changed_or_was_half_logged(run: Run, mlflow_at: str) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=mlflow_at)
    first = tracking.to_mlflow(run, mlflow_at)
    client.set_tag(first, "llmesr.state", "other")
    second = tracking.to_mlflow(run, mlflow_at)
    assert second != first
    client.update_run(second, status="RUNNING")
    third = tracking.to_mlflow(run, mlflow_at)
    assert [r.info.run_id for r in logged(mlflow_at)] == [third]


def test_tensorboard_has_a_run_once(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        folder = tracking.to_tensorboard(run, tmp_path / "logs")
    assert [p.name for p in (tmp_path / "logs").iterdir()] == [folder.name]
    read = EventAccumulator(str(folder))
    read.Reload()
    loss = read.Scalars("loss")
    assert [e.step for e in loss] == run.events()["epoch"].tolist()
    assert [e.value for e in loss] == pytest.approx(run.events()["loss"].tolist())
    rows = [r for r in run.metrics() if r["metric"] == "NDCG@10"]
    row = next(r for r in rows if r["group"] == "Tail Item")
    (shown,) = read.Scalars(f"test/{row['protocol']}/Tail_Item/NDCG_at_10")
    assert shown.value == pytest.approx(row["value"])


def test_a_full_disk_under_tensorboard_is_an_error_and_no_trace(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.summary.writer.record_writer import RecordWriter

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(OSError, match="No space left"):
        tracking.to_tensorboard(run, tmp_path / "logs")
    assert "Traceback" not in capfd.readouterr().err
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_run_that_has_not_finished_stays(store: Store, data: Dataset, tmp_path: Path) -> None:
    live = make_running_run(store, data)
    for give in (lambda: tracking.to_mlflow(live), lambda: tracking.to_tensorboard(live, tmp_path / "logs")):
        with pytest.raises(UserError, match="has not finished"):
            give()


def test_trackers_that_are_missing_are_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mlflow", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, module, None)
    for give in (lambda: tracking.to_mlflow(run), lambda: tracking.to_tensorboard(run, tmp_path / "logs")):
        with pytest.raises(UserError, match=r"llmesr\[tracking\]"):
            give()


def test_rankings_come_back_as_a_ranking_of_the_same_lists(run: Run, data: Dataset, tmp_path: Path) -> None:
    (place,) = export("run", run.id, tmp_path / "lists.parquet", "--to", "parquet")
    table = pq.read_table(place)
    assert {f.name: str(f.type) for f in table.schema} == {"user_id": "string", "item_id": "string", "rank": "int32"}
    frame = table.to_pandas()
    users, top = data.split.users("test"), run.top_items()
    for row in (0, len(users) - 1):
        own = frame[frame["user_id"] == data.user_ids[users[row]]].sort_values("rank")
        assert [data.item(i) for i in own["item_id"]] == [i for i in top[row] if i]
        assert own["rank"].tolist() == list(range(1, len(own) + 1))


def test_vectors_have_the_ids_of_their_rows(store: Store, data: Dataset, tmp_path: Path) -> None:
    embedding = make_embedding(store, data)
    export("embedding", embedding.id, tmp_path / "items.parquet", "--to", "parquet")
    export("embedding", embedding.id, tmp_path / "users.parquet", "--to", "parquet", "--users")
    items, users = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("items", "users"))
    assert items["item_id"].tolist() == data.catalogue["item_id"].tolist()
    assert np.array_equal(np.stack(items["vector"]), embedding.item_vectors)
    assert users["user_id"].tolist() == data.user_ids.tolist()
    assert np.array_equal(np.stack(users["vector"]), embedding.user_vectors)


def test_recbole_files_give_the_same_dataset(store: Store, tmp_path: Path) -> None:
    interactions, items = synthetic.frames(60, 40, seed=3)
    people = pd.DataFrame({"user_id": interactions["user_id"].unique()}).assign(age=30)
    items.loc[0, "title"] = 'A\ttab and a "quote"'
    data = llmesr.ingest(interactions, items, users=people, name="shop", store=store)
    export("dataset", data.id, tmp_path / "shop", "--to", "recbole")
    assert sorted(p.name for p in (tmp_path / "shop").iterdir()) == ["shop.inter", "shop.item", "shop.user"]
    assert (tmp_path / "shop" / "shop.inter").read_text().startswith("user_id:token\titem_id:token\ttimestamp:float")
    again = llmesr.ingest(tmp_path / "shop", name="again", store=store)
    for user in data.user_ids:
        one, other = (d.catalogue["item_id"].to_numpy()[d.history(d.user(user)) - 1] for d in (data, again))
        assert one.tolist() == other.tolist()
    titles = [d.catalogue.set_index("item_id")["title"].to_dict() for d in (data, again)]
    assert titles[1][items["item_id"][0]] == 'A tab and a "quote"'
    assert titles[0] == titles[1]


def shop_of(users: list[str], store: Store) -> Dataset:
    """Four choices each of some users; an item has two spaces within its id."""
    items = ["i  0", "i 0", "i1", "i2"]
    table = pd.DataFrame([(u, i, 1_600_000_000 + n) for u in users for n, i in enumerate(items)])
    shop: Dataset = llmesr.ingest(table.set_axis(["user_id", "item_id", "timestamp"], axis=1), name="shop", store=store)
    return shop


def test_ids_are_in_recbole_files_as_they_are(store: Store, tmp_path: Path) -> None:
    data = shop_of(["a b", "a  b", "c\u3000d"], store)
    export("dataset", data.id, tmp_path / "shop", "--to", "recbole")
    again = llmesr.ingest(tmp_path / "shop", name="again", store=store)
    assert again.user_ids.tolist() == data.user_ids.tolist() == ["a b", "a  b", "c\u3000d"]
    assert again.catalogue["item_id"].tolist() == data.catalogue["item_id"].tolist()


@pytest.mark.parametrize("id", ["a\tb", "a\nb", "a\rb"])
def test_an_id_that_a_recbole_file_cannot_hold_is_refused_by_name(id: str, store: Store, tmp_path: Path) -> None:
    data = shop_of(["u1", id, "u2"], store)
    with pytest.raises(UserError, match="The user id 'a.*b' holds a tab or a line end"):
        formats.write(data, store, "recbole", tmp_path / "shop")
    assert not (tmp_path / "shop").exists()


def test_frames_for_rectools_and_lenskit(store: Store, data: Dataset, tmp_path: Path) -> None:
    rectools, lenskit = formats.rectools(data, store), formats.lenskit(data, store)
    assert list(rectools.columns) == ["user_id", "item_id", "weight", "datetime"]
    assert str(rectools["datetime"].dtype).startswith("datetime64")
    assert set(rectools["weight"]) == {1.0}
    assert list(lenskit.columns)[:3] == ["user_id", "item_id", "timestamp"]
    own = rectools[rectools["user_id"] == data.user_ids[3]]
    assert [data.item(i) for i in own["item_id"]] == data.history(3).tolist()
    assert own["datetime"].is_monotonic_increasing
    for library in ("rectools", "lenskit"):
        export("dataset", data.id, tmp_path / library, "--to", library)
        assert len(pd.read_parquet(tmp_path / library / "interactions.parquet")) == len(data.items)


def test_data_without_times_keeps_its_order(store: Store, tmp_path: Path) -> None:
    frame = synthetic.frames(60, 40, seed=3)[0].drop(columns="timestamp")
    data = llmesr.ingest(frame, name="order", store=store)
    own = formats.rectools(data, store)
    assert own[own["user_id"] == data.user_ids[0]]["datetime"].is_monotonic_increasing
    assert formats.lenskit(data, store)["timestamp"].tolist()[:3] == [0, 1, 2]


def test_what_a_kind_is_not_exported_as(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="recbole, rectools, lenskit"):
        export("dataset", data.id, tmp_path / "x", "--to", "mlflow")
    with pytest.raises(UserError, match="Say where"):
        export("dataset", data.id, "--to", "recbole")


def test_a_table_is_replaced_in_one_step(run: Run, data: Dataset, tmp_path: Path) -> None:
    target = tmp_path / "lists.parquet"
    target.write_text("old")
    with pytest.raises(RuntimeError):
        tables.replaced(target, lambda _: (_ for _ in ()).throw(RuntimeError()))
    assert target.read_text() == "old"
    tables.write(tables.rankings(run, data), target)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".lists")] == []
