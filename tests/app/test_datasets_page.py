"""The datasets page: upload, columns, report, thresholds, deletion; and what hostile files meet."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from app_pages import healthy, metrics, pick, texts
from factories import corrupt, make_dataset, make_run, make_running_run, make_standard_runs
from streamlit.testing.v1 import AppTest

import llmesr
from llmesr.config import SplitConfig, has_backbone
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.groups import Thresholds
from llmesr.data.profile import gini
from llmesr.jobs.plans import GOOD_DEFAULTS, SEEDS
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store


@pytest.fixture
def shop(store: Store) -> Any:
    return make_dataset(store, users=150, items=80)


@pytest.fixture
def orders(tmp_path: Path) -> Any:
    """Two files whose column names say nothing."""
    interactions, items = synthetic.frames(60, 40, seed=3)
    interactions.columns = ["Kundennr", "Artikel", "gekauft"]
    interactions.to_csv(tmp_path / "bestellungen.csv", index=False, sep=";")
    items.rename(columns={"item_id": "Artikel", "title": "Bezeichnung"}).to_csv(tmp_path / "sortiment.csv", index=False)
    return [tmp_path / "bestellungen.csv", tmp_path / "sortiment.csv"]


def send(app: AppTest, *paths: Any) -> Any:
    files = [(p.name, p.read_bytes(), "text/csv") for p in paths]
    app.get("file_uploader")[0].upload(*files) if False else app.file_uploader[0].set_value(files)
    return app.run()


def test_empty_install_asks_for_files(visit: Callable[..., AppTest]) -> None:
    app = healthy(visit("datasets"))
    assert "Upload a file of **interactions**" in texts(app)
    assert "200 MB" in app.file_uploader[0].label


def test_upload_is_on_disk_guessed_and_imported_with_one_click(
    visit: Callable[..., AppTest], store: Store, orders: Any, started: list[Job]
) -> None:
    app = healthy(send(visit("datasets"), *orders))
    (folder,) = (store.root / "uploads").iterdir()
    assert sorted(p.name for p in folder.iterdir()) == ["bestellungen.csv", "sortiment.csv"]
    assert app.query_params["upload"] in (folder.name, [folder.name])
    assert pick(app, "role.0.bestellungen.csv").value == "interactions"
    assert pick(app, "role.1.sortiment.csv").value == "items"
    chosen = {f: pick(app, f"column.{f}.bestellungen.csv").value for f in ("user_id", "item_id", "timestamp")}
    assert chosen == {"user_id": "Kundennr", "item_id": "Artikel", "timestamp": "gekauft"}
    assert pick(app, "items.title.sortiment.csv").value == "Bezeichnung"
    next(b for b in app.button if b.label == "Import").click().run()
    healthy(app)
    (job,) = started
    command = job.record.steps[0].command
    assert command[:3] == ["ingest", str(folder / "bestellungen.csv"), str(folder / "sortiment.csv")]
    assert "user_id=Kundennr" in command
    assert "title=Bezeichnung" in command
    trainings = sum(len(SEEDS) if has_backbone(method) else 1 for method in GOOD_DEFAULTS)
    assert [s.command[0] for s in job.record.steps[1:]] == ["embed", *["train"] * trainings, "map"]
    assert "Import bestellungen" in texts(app)


def test_the_import_command_really_makes_the_dataset(
    visit: Callable[..., AppTest], store: Store, orders: Any, started: list[Job]
) -> None:
    from typer.testing import CliRunner

    from llmesr.cli.main import app as cli

    app = send(visit("datasets"), *orders)
    pick(app, "ingest.all").set_value(False).run()
    next(b for b in app.button if b.label == "Import").click().run()
    result = CliRunner().invoke(cli, started[0].record.steps[0].command)
    assert result.exit_code == 0, result.output
    made = load_dataset(store, "bestellungen")
    assert made.n_users > 50
    assert made.catalogue["title"].str.len().min() > 5
    assert made.split_config == SplitConfig()


def test_a_split_in_time_is_chosen_in_the_form(
    visit: Callable[..., AppTest], store: Store, orders: Any, started: list[Job]
) -> None:
    from typer.testing import CliRunner

    from llmesr.cli.main import app as cli

    app = send(visit("datasets"), *orders)
    pick(app, "ingest.all").set_value(False).run()
    pick(app, "ingest.split").set_value("temporal").run()
    pick(app, "ingest.split.test_from").set_value("soon").run()
    assert "neither a share nor a date" in app.error[0].value
    assert not [b for b in app.button if b.label == "Import"]
    pick(app, "ingest.split.test_from").set_value("0.85").run()
    next(b for b in healthy(app).button if b.label == "Import").click().run()
    result = CliRunner().invoke(cli, started[0].record.steps[0].command)
    assert result.exit_code == 0, result.output
    split = load_dataset(store, "bestellungen").split_config
    assert (split.kind, split.targets) == ("temporal", "first")
    assert str(split.valid_from) < str(split.test_from)  # the shares have become dates


def test_a_refreshed_browser_finds_its_upload(visit: Callable[..., AppTest], orders: Any) -> None:
    app = send(visit("datasets"), *orders)
    token = app.query_params["upload"]
    again = visit("datasets", upload=token if isinstance(token, str) else token[0])
    assert pick(again, "role.0.bestellungen.csv").value == "interactions"
    assert "no longer here" in texts(visit("datasets", upload="0123456789abcdef"))


@pytest.mark.parametrize("name", ["../../evil.csv", "a/b.csv", "..\\x.csv", ".hidden.csv", "tool.exe", "a\x00.csv"])
def test_strange_file_names_are_refused(visit: Callable[..., AppTest], store: Store, name: str) -> None:
    app = visit("datasets")
    app.file_uploader[0].set_value([(name, b"a,b\n1,2\n", "text/csv")])
    app.run()
    assert not app.exception
    assert len(app.error) == 1
    assert not list((store.root / "uploads").glob("*/*"))
    assert not (store.root.parent / "evil.csv").exists()


def files_that_are_not_what_they_claim(tmp_path: Path) -> Any:
    archive = tmp_path / "archive.csv"
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("x.csv", "a,b\n1,2\n")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 50)
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "pickle.csv").write_bytes(b"\x80\x04\x95\x00\x00\x00")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"a,b\n" * 10_000)[:60])
    return [tmp_path / n for n in ("archive.csv", "picture.csv", "empty.csv", "pickle.csv", "cut.csv.gz")]


@pytest.mark.parametrize("number", range(5))
def test_files_that_are_not_what_they_claim_are_refused_with_a_sentence(
    visit: Callable[..., AppTest], tmp_path: Path, number: int
) -> None:
    path = files_that_are_not_what_they_claim(tmp_path)[number]
    app = send(visit("datasets"), path)
    assert not app.exception
    assert len(app.error) == 1
    assert path.name.replace(".", "\\.") in app.error[0].value
    assert "log under" not in app.error[0].value  # a reason, not a ticket


def test_hostile_column_names_and_cells_stay_text(visit: Callable[..., AppTest], tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"<script>u</script>": ["**a**", "b"] * 5, "$i$": list("abcdefghij"), "t": range(1_600_000_000, 1_600_000_010)}
    )
    frame.to_csv(tmp_path / "**bold**.csv", index=False)
    app = send(visit("datasets"), tmp_path / "**bold**.csv")
    assert not app.exception
    assert "**bold**.csv" not in texts(app)


def test_profile_numbers_are_those_of_the_data(visit: Callable[..., AppTest], shop: Dataset) -> None:
    shown = metrics(healthy(visit("datasets", look="profile")))
    counts = shop.item_counts[1:]
    tail = shop.thresholds.tail_items(counts)
    assert shown["Items in the tail"] == f"{100 * tail.mean():.0f}%"
    assert shown["Interactions with tail items"] == f"{100 * counts[tail].sum() / counts.sum():.0f}%"


def test_moving_the_threshold_redraws_and_saving_keeps_it(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    make_standard_runs(store, shop)
    app = visit("datasets", look="profile")
    old = shop.thresholds
    pick(app, "tail_item").set_value(old.item + 3).run()
    moved = metrics(healthy(app))["Items in the tail"]
    assert moved == f"{100 * np.mean(shop.item_counts[1:] < old.item + 3):.0f}%"
    assert f"others still see {old.item} and {old.user}." in texts(app)
    assert load_dataset(store, shop.id).thresholds == old
    next(b for b in app.button if b.label == "Save with the dataset").click().run()
    assert load_dataset(store, shop.id).thresholds == Thresholds(item=old.item + 3, user=old.user)
    assert f"fewer than {old.item + 3} training interactions" in texts(healthy(visit("overview", dataset=shop.id)))
    app = visit("datasets", look="profile")
    next(b for b in app.button if b.label.startswith("80/20")).click().run()
    assert load_dataset(store, shop.id).thresholds == old


def test_a_bar_of_history_lengths_lists_its_users(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = healthy(visit("datasets"))
    lengths = shop.split.train_lengths
    most = int(lengths.max())
    app.session_state["lengths"] = {"selection": {"points": [{"customdata": [2, most - 1]}]}}
    app.run()
    (listed,) = (d.value for d in healthy(app).dataframe if list(d.value.columns) == ["user", "training interactions"])
    assert set(listed["user"]) == set(shop.user_ids[(lengths >= 2) & (lengths < most)])
    assert listed["training interactions"].is_monotonic_decreasing


def test_the_bar_of_a_link_lists_its_users(visit: Callable[..., AppTest], shop: Dataset) -> None:
    lengths = shop.split.train_lengths
    inside = int(((lengths >= 2) & (lengths <= 3)).sum())
    app = healthy(visit("datasets", dataset=shop.id, bar="2-3"))
    assert f"**{inside} users** with 2 to 3 training interactions" in texts(app)
    assert "Click a bar" in texts(healthy(visit("datasets", dataset=shop.id, bar="none of that")))


def test_gini_is_shown(visit: Callable[..., AppTest], shop: Dataset) -> None:
    assert f"Gini {gini(shop.item_counts[1:]):.2f}" in texts(visit("datasets", look="profile"))


def test_the_report_of_reading_is_shown_in_words(visit: Callable[..., AppTest], store: Store, shop: Dataset) -> None:
    app = visit("datasets", look="profile")
    for finding in shop.manifest.info["report"]:
        assert finding["message"][:20].split(":")[0] in texts(app).replace("\\", "")


def test_deleting_asks_and_takes_what_was_made_from_it(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    make_run(store, shop)
    app = visit("datasets", look="profile")
    assert pick(app, f"delete.{shop.id}").disabled
    pick(app, f"sure.{shop.id}").set_value(True).run()
    assert "This also deletes what was made from it: 1 run." in texts(app)
    pick(app, f"delete.{shop.id}").click().run()
    healthy(app)
    assert store.list("datasets") == []
    assert store.list("runs") == []


def test_deleting_what_a_job_uses_is_refused_with_the_reason(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    run = make_running_run(store, shop)
    running_job("Train llm-esr/sasrec", parents=[f"datasets/{shop.id}"], run=run.id)
    app = visit("datasets", look="profile")
    pick(app, f"sure.{shop.id}").set_value(True).run()
    pick(app, f"delete.{shop.id}").click().run()
    assert "used by a job that has not ended" in app.error[0].value.replace("\\", "")
    assert store.exists("datasets", shop.id)
    assert store.exists("runs", run.id)


def test_a_damaged_dataset_is_named_and_the_other_shown(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    other = make_dataset(store, name="other", users=60, items=30, seed=4)
    corrupt(store, "datasets", other.id)
    app = healthy(visit("datasets", look="profile"))
    assert any("damaged" in e.label for e in app.expander)
    assert "Items in the tail" in metrics(app)


def test_a_dataset_whose_files_are_damaged_is_explained(
    visit: Callable[..., AppTest], store: Store, shop: Dataset
) -> None:
    corrupt(store, "datasets", shop.id, "interactions")
    app = visit("datasets", look="profile")
    assert not app.exception
    assert "damaged" in app.error[0].value


def test_a_running_pipeline_is_shown_with_the_dataset(
    visit: Callable[..., AppTest], store: Store, shop: Dataset, running_job: Callable[..., Job]
) -> None:
    running_job("Embed and train shop", parents=[f"datasets/{shop.id}"])
    app = healthy(visit("datasets", look="profile"))
    assert "Embed and train shop" in texts(app)
    assert "defaults" not in [b.key for b in app.button]
    assert len(Jobs(store).list()) == 1


@pytest.fixture
def connected(orders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server that names a database with the same two tables."""
    import duckdb

    database = tmp_path / "shop.duckdb"
    with duckdb.connect(str(database)) as connection:
        for name, path in zip(("orders", "products"), orders, strict=True):
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_csv('{path}')")
    file = tmp_path / "connections.toml"
    queries = '["SELECT * FROM orders", "SELECT * FROM products"]'
    file.write_text(f'[bakery]\nurl = "{database}"\nsql = {queries}\n')
    monkeypatch.setenv("LLMESR_CONNECTIONS", str(file))
    return file


def test_a_connection_shows_its_first_rows_and_is_imported_by_its_name(
    visit: Callable[..., AppTest], store: Store, connected: Path, started: list[Job]
) -> None:
    app = visit("datasets")
    assert not app.text_area(key="paths").value
    assert [t for t in app.text_area if t.label.startswith("Query")] == []
    next(b for b in app.button if b.label == "Read the first rows").click().run()
    healthy(app)
    assert pick(app, "role.0.query 1.parquet").value == "interactions"
    assert app.text_input(key="ingest.name").value == "bakery"
    next(b for b in app.button if b.label == "Import").click().run()
    command = started[0].record.steps[0].command
    assert command[:2] == ["ingest", "connection:bakery"]
    assert [command[n + 1] for n, word in enumerate(command) if word == "--sql"] == [
        "SELECT * FROM orders",
        "SELECT * FROM products",
    ]
    assert "user_id=Kundennr" in command
    assert not any("parquet" in word for word in command)


def test_a_link_to_first_rows_never_imports_only_those(
    visit: Callable[..., AppTest], store: Store, connected: Path, started: list[Job]
) -> None:
    app = visit("datasets")
    next(b for b in app.button if b.label == "Read the first rows").click().run()
    (folder,) = (store.root / "uploads").iterdir()
    again = healthy(visit("datasets", upload=folder.name))
    next(b for b in again.button if b.label == "Import").click().run()
    assert started[0].record.steps[0].command[:2] == ["ingest", "connection:bakery"]


def test_visitors_write_queries_only_where_the_configuration_allows_it(
    visit: Callable[..., AppTest], store: Store, connected: Path
) -> None:
    connected.write_text(connected.read_text() + "any_sql = true\n")
    app = visit("datasets")
    app.text_area(key="sql.bakery.0").set_value("SELECT * FROM elsewhere").run()
    next(b for b in app.button if b.label == "Read the first rows").click().run()
    assert "table that is not there" in texts(app)


def test_addresses_are_not_offered_unless_the_operator_says_which(
    visit: Callable[..., AppTest], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [t for t in visit("datasets").text_input if t.label == "Address"] == []
    monkeypatch.setenv("LLMESR_ADDRESSES", "https://data.example.org/open/")
    app = visit("datasets")
    app.text_input(key="address").set_value("http://169.254.169.254/latest/meta-data").run()
    next(b for b in app.button if b.label == "Fetch the file").click().run()
    assert "does not read from that address" in texts(app)


def test_what_is_known_of_users_is_shown(visit: Callable[..., AppTest], store: Store) -> None:
    interactions, items = synthetic.frames(60, 40, seed=3)
    ids = interactions["user_id"].drop_duplicates()
    people = pd.DataFrame({"user_id": ids.iloc[:30], "age": range(30)})
    llmesr.ingest(interactions, items, users=people, name="shop", store=store, k_core=1)
    app = healthy(visit("datasets"))
    assert "What is known of the users" in [e.label for e in app.expander]


def test_a_file_of_users_has_a_role_of_its_own(
    visit: Callable[..., AppTest], store: Store, orders: Any, tmp_path: Path, started: list[Job]
) -> None:
    people = tmp_path / "kunden.csv"
    people.write_text("user_id,alter\nu1,30\nu2,40\n")
    app = healthy(send(visit("datasets"), *orders, people))
    assert pick(app, "role.1.kunden.csv").value == "users"
    next(b for b in app.button if b.label == "Import").click().run()
    command = started[0].record.steps[0].command
    assert command[command.index("--users") + 1].endswith("kunden.csv")
    assert command[command.index("--user-column") + 1] == "user_id=user_id"
    assert not any(word.endswith("kunden.csv") for word in command[:3])


def test_boxes_are_in_the_address(visit: Callable[..., AppTest], shop: Dataset) -> None:
    app = healthy(visit("datasets", look="profile", open="numbers"))
    box = next(e for e in app.expander if e.label == "All numbers")
    assert box.proto.expanded
    other = healthy(visit("datasets", look="profile"))
    assert not next(e for e in other.expander if e.label == "All numbers").proto.expanded


def test_a_moved_threshold_is_in_the_address_and_holds_on_other_pages(
    visit: Callable[..., AppTest], shop: Dataset
) -> None:
    app = visit("datasets", look="profile")
    pick(app, "tail_item").set_value(shop.thresholds.item + 2).run()
    assert app.query_params["tail_item"] in (str(shop.thresholds.item + 2), [str(shop.thresholds.item + 2)])
    linked = healthy(visit("datasets", look="profile", tail_item=str(shop.thresholds.item + 2)))
    assert pick(linked, "tail_item").value == shop.thresholds.item + 2
