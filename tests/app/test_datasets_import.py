"""What comes in on the Datasets page: uploads, connections, files of users, and what is refused."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from app_pages import healthy, pick, texts
from streamlit.testing.v1 import AppTest

from llmesr.config import SplitConfig, has_backbone
from llmesr.data import synthetic
from llmesr.data.dataset import load_dataset
from llmesr.jobs.plans import GOOD_DEFAULTS, SEEDS
from llmesr.jobs.queue import Jobs
from llmesr.jobs.record import Job
from llmesr.store import Store


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
    runs = {step.label: step.run for step in job.record.steps}
    assert job.record.steps[-1].arguments[:2] == [runs[f"Train {m}/sasrec, seed 44"] for m in ("id", "llm-esr")]
    assert "Import bestellungen" in texts(app)


SHOP = "".join(f"B{n};K{n // 4};04{n % 17:02d};{1 + n % 28:02d}.03.2025 10:00\n" for n in range(40))
LIST = "".join(f"04{n:02d};Messer kompakt {n} cm;Brunner\n" for n in range(17))


@pytest.fixture
def shop(tmp_path: Path) -> list[Path]:
    """Orders with their numbers first, and what was sold."""
    (tmp_path / "verkauf.csv").write_text("Bestellnummer;Kundennummer;Artikelnummer;Bestelldatum\n" + SHOP)
    (tmp_path / "artikel.csv").write_text("Artikelnummer;Bezeichnung;Hersteller\n" + LIST)
    return [tmp_path / "verkauf.csv", tmp_path / "artikel.csv"]


def chosen(app: AppTest, file: str) -> list[Any]:
    return [pick(app, f"column.{field}.{file}").value for field in ("user_id", "item_id", "timestamp")]


def test_an_order_number_is_not_taken_for_the_user(visit: Callable[..., AppTest], shop: list[Path]) -> None:
    app = healthy(send(visit("datasets"), *shop))
    assert chosen(app, "verkauf.csv") == ["Kundennummer", "Artikelnummer", "Bestelldatum"]
    assert pick(app, "items.item_id.artikel.csv").value == "Artikelnummer"
    pick(app, "column.user_id.verkauf.csv").set_value("Bestellnummer").run()
    assert "is it an order number?" in texts(app)
    pick(app, "column.user_id.verkauf.csv").set_value("Artikelnummer").run()
    assert "User and Item are both Artikelnummer" in texts(app)
    assert not [b for b in app.button if b.label == "Import"]


def test_weak_guesses_are_proposed_and_not_chosen(visit: Callable[..., AppTest], tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b;c;d\n" + SHOP)
    (tmp_path / "y.csv").write_text("e;f;g\n" + LIST)
    app = healthy(send(visit("datasets"), tmp_path / "x.csv"))
    pick(app, "role.0.x.csv").set_value("interactions").run()
    assert chosen(app, "x.csv")[:2] == ["—", "—"]
    assert "Could be: b" in texts(app)
    assert "Choose the column for: User, Item" in texts(app)
    app = send(visit("datasets"), tmp_path / "x.csv", tmp_path / "y.csv")
    assert chosen(app, "x.csv")[:2] == ["—", "c"]  # what stands in the list of items is the item


def test_a_list_of_items_alone_is_not_taken_for_interactions(visit: Callable[..., AppTest], shop: list[Path]) -> None:
    app = healthy(send(visit("datasets"), shop[1]))
    assert pick(app, "role.0.artikel.csv").value == "items"
    assert "This looks like a list of items" in texts(app)


def test_orders_without_a_user_are_asked_for_one(visit: Callable[..., AppTest], shop: list[Path]) -> None:
    rows = (line.split(";") for line in shop[0].read_text().splitlines())
    shop[0].write_text("".join(";".join([order, *rest]) + "\n" for order, _, *rest in rows))
    app = healthy(send(visit("datasets"), shop[0]))
    assert chosen(app, "verkauf.csv") == ["—", "Artikelnummer", "Bestelldatum"]
    assert "Choose the column for: User." in texts(app)


def test_a_failed_import_leads_back_to_the_form_in_its_own_words(
    visit: Callable[..., AppTest], store: Store, shop: list[Path], started: list[Job]
) -> None:
    app = send(visit("datasets"), *shop)
    next(b for b in app.button if b.label == "Import").click().run()
    Jobs(store).end(started[0], "FAILED", "Nothing is left; give a smaller --k-core.")
    app.run()
    assert "give a smaller 'K core' under Import options" in app.error[0].value
    labels = [b.label for b in app.button]
    assert "Retry" in labels
    assert "Resume" not in labels
    next(b for b in app.button if b.label == "Back to the columns").click().run()
    assert chosen(app, "verkauf.csv")[0] == "Kundennummer"


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
