"""What is known of users: read and checked like the items, stored with its types, in the order of the users."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from marketplace import csv, items_csv, put, rows

import llmesr
from llmesr.config import SplitConfig
from llmesr.data import synthetic
from llmesr.data.dataset import Dataset
from llmesr.data.profile import known_of_users
from llmesr.data.splitting import resplit
from llmesr.errors import UserError
from llmesr.store import Store

USERS = "user_id,age,zip,city,score\nu3,41,01234,Bonn,1.5\nu1,NA,99999,,2\nu9,20,00000,Rome,3\n"
HEAD = ["user_id", "age", "zip", "city", "score"]


def made(store: Store, folder: Path, users: str, **settings: object) -> Dataset:
    put(folder, {"orders.csv": csv(rows()), "items.csv": items_csv(), "users.csv": users})
    data: Dataset = llmesr.ingest(folder, name="shop", store=store, **settings)
    return data


def findings(data: Dataset) -> dict[str, str]:
    return {f["code"]: f["message"] for f in data.manifest.info["report"]}


def test_each_user_has_a_row_with_types(store: Store, tmp_path: Path) -> None:
    data = made(store, tmp_path / "in", USERS)
    people = data.user_attributes
    assert people is not None
    assert list(people.columns) == HEAD
    assert people["user_id"].tolist() == data.user_ids.tolist()
    assert [str(people[c].dtype) for c in ("age", "score")] == ["Int64", "Float64"]
    three, one = people.iloc[data.user("u3")], people.iloc[data.user("u1")]
    assert (three["age"], three["zip"], three["city"], three["score"]) == (41, "01234", "Bonn", 1.5)
    assert (one["zip"], one["score"]) == ("99999", 2)
    assert pd.isna([one["age"], one["city"]]).all()
    told = findings(data)
    assert told["users_described"] == "2 of 8 users are described."
    assert told["missing_users"] == "6 users not in the file of users."
    assert data.manifest.info["users_with_attributes"] == 2
    assert [s["file"] for s in data.manifest.info["sources"]] == ["orders.csv", "items.csv", "users.csv"]


def test_without_a_file_nothing_is_there(store: Store, tmp_path: Path) -> None:
    put(tmp_path / "in", {"orders.csv": csv(rows())})
    assert llmesr.ingest(tmp_path / "in", name="shop", store=store).user_attributes is None


def test_a_recbole_folder_has_users_too(store: Store, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "shop.inter": csv(rows(), "user_id:token,item_id:token,timestamp:float", "\t"),
        "shop.item": "item_id:token\ttitle:token_seq\n" + "".join(f"i{n}\tThing {n}\n" for n in range(5)),
        "shop.user": "user_id:token\tage:float\tcity:token\n" + "".join(f"u{n}\t{20 + n}\tBonn\n" for n in range(8)),
    }
    data = llmesr.ingest(put(tmp_path / "in", files), name="shop", store=store)
    assert data.user_attributes is not None
    assert data.user_attributes.iloc[data.user("u3")].tolist() == ["u3", 23, "Bonn"]


def test_columns_are_renamed_and_left_out(store: Store, tmp_path: Path) -> None:
    named = USERS.replace("user_id", "number")
    data = made(store, tmp_path / "in", named, user_columns={"user_id": "number", "years": "age", "zip": ""})
    assert data.user_attributes is not None
    assert list(data.user_attributes.columns) == ["user_id", "years", "city", "score"]


def test_a_file_said_to_be_of_users_is_one(store: Store, tmp_path: Path) -> None:
    put(tmp_path / "in", {"orders.csv": csv(rows()), "fans.csv": "user_id,item_id\nu1,i3\nu2,i4\n"})
    orders, fans = tmp_path / "in" / "orders.csv", tmp_path / "in" / "fans.csv"
    data = llmesr.ingest(orders, users=fans, name="fans", store=store)
    assert data.user_attributes is not None
    assert data.user_attributes["item_id"].dropna().tolist() == ["i3", "i4"]
    frame = pd.DataFrame({"user_id": ["u1"], "plan": ["free"]})
    assert llmesr.ingest(orders, users=frame, name="fans", store=store).manifest.info["users_with_attributes"] == 1


def test_the_same_data_under_another_split_keeps_them(store: Store) -> None:
    interactions, items = synthetic.frames(60, 40, seed=3)
    people = pd.DataFrame({"user_id": interactions["user_id"].unique()}).assign(age=30)
    data = llmesr.ingest(interactions, items, users=people, name="shop", store=store)
    other = resplit(data, SplitConfig(kind="temporal"), store)
    assert other.user_attributes is not None
    assert data.user_attributes is not None
    assert other.user_attributes.equals(data.user_attributes)


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ("user_id,age\nx1,3\nx2,4\n", "No user of the interactions"),
        ("user_id,age\nu1,3\n" + "u2,4,5\n" * 9, "more than max_rejected"),
    ],
)
def test_files_that_do_not_fit_are_refused(users: str, words: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        made(store, tmp_path / "in", users)
    assert store.ids("datasets") == []


def test_repeated_rows_and_rows_without_an_id_are_counted(store: Store, tmp_path: Path) -> None:
    told = findings(made(store, tmp_path / "in", "user_id,age\nu1,3\nu1,4\n,5\n"))
    assert told["duplicate_users"] == "1 user row with an id seen before: the first is used."
    assert told["users_without_id"] == "1 user row without an id: not used."


def test_coverage_counts_users_with_a_value(store: Store, tmp_path: Path) -> None:
    known = known_of_users(made(store, tmp_path / "in", USERS)).set_index("attribute")
    assert known["known"].to_dict() == {"age": 1 / 8, "zip": 2 / 8, "city": 1 / 8, "score": 2 / 8}
    assert known["type"].to_dict() == {"age": "number", "zip": "text", "city": "text", "score": "number"}
    assert known["seen"].to_dict() | {"zip": ""} == {
        "age": "41 to 41",
        "zip": "",
        "city": "mostly Bonn (100%)",
        "score": "1.5 to 2",
    }
