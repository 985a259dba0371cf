"""One user's story: gains by hand, neighbours, aligned histories, ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import make_dataset, make_run

from llmesr.data.groups import Thresholds
from llmesr.evaluation.external import register_ranking
from llmesr.store import Store
from llmesr.views.neighbours import charts
from llmesr.views.neighbours.case import (
    Case,
    Retrieved,
    aligned,
    changes,
    chosen_with,
    contribution,
    nearest_users,
    neighbour_table,
    pick_users,
    rank_table,
)


def frame(ranks: list[int], lengths: Any) -> pd.DataFrame:
    n = len(ranks)
    rows = {"user": range(n), "target": 1, "target_popularity": 3, "history_length": lengths, "rank": ranks}
    full = pd.DataFrame({**rows, "part": "test", "protocol": "full"})
    return pd.concat([full, full.assign(part="valid", rank=1), full.assign(protocol="uni100", rank=1)])


def test_gain_counts_a_step_near_the_top_more() -> None:
    found = changes(
        frame([3, 100, 1, 7], [2, 2, 2, 9]), frame([1, 50, 3, 1], [2, 2, 2, 9]), "full", Thresholds(item=1, user=5)
    )
    assert found["user"].tolist() == [0, 1, 2]  # user 3 is no tail user
    assert found["gain"].tolist() == pytest.approx([0.5, 1 / np.log2(51) - 1 / np.log2(101), -0.5])
    assert len(changes(frame([3], [2]), frame([1], [2]), "full", None)) == 1
    assert pick_users(found, "helped", 1)["user"].tolist() == [0]
    assert pick_users(found, "hurt", 5)["user"].tolist() == [2]
    drawn = pick_users(found, "random", 2, seed=3)
    assert drawn["user"].tolist() == pick_users(found, "random", 2, seed=3)["user"].tolist()
    assert len(drawn) == 2


def test_nearest_users_leave_out_oneself_and_those_without_a_vector() -> None:
    units = np.array([[1, 0], [0.6, 0.8], [0, 0], [0.8, 0.6], [-1, 0]], np.float32)
    found = nearest_users(units, 0, 10, "how")
    assert found.users.tolist() == [3, 1, 4]
    assert found.similarity.tolist() == pytest.approx([0.8, 0.6, -1.0])
    assert len(nearest_users(units, 2, 3, "how").users) == 0


def test_a_case_reads_everything_but_the_held_out_item(store: Store) -> None:
    dataset = make_dataset(store, users=50, items=30)
    user = int(dataset.split.users("test")[3])
    case = Case.of(dataset, user)
    history = dataset.history(user)
    assert case.target == history[-1]
    assert case.read.tolist() == history[:-1].tolist()
    assert dataset.train_history(user).tolist() == history[:-2].tolist()


def test_neighbours_are_described_by_what_they_share_and_know(store: Store) -> None:
    dataset = make_dataset(store, users=80, items=30)
    user = int(dataset.split.users("test")[0])
    case = Case.of(dataset, user)
    others = np.array([u for u in range(dataset.n_users) if u != user])
    found = Retrieved(others, np.linspace(1, 0, len(others)), "all")
    table = neighbour_table(dataset, case, found)
    for row in table.itertuples():
        items = set(dataset.train_history(row.user).tolist())
        assert row.shared == len(items & set(case.read.tolist()))
        assert row.knows == (case.target in items)
        assert row.length == dataset.split.train_lengths[row.user]
    line = contribution({"text": table, "behaviour": table.iloc[:0]}, "A <b>title</b>")
    assert f"**{int(table['knows'].sum())}** chose the held-out item" in line
    assert "<b>" not in line
    assert "behaviour" not in line

    histories = aligned(dataset, case, Retrieved(others[:3], np.ones(3), "three"), longest=4)
    own = histories[histories["row"] == 0]
    assert own[own["kind"] == "next"]["item"].tolist() == [case.target]
    assert own[own["kind"] == "own"].sort_values("step")["item"].tolist() == case.read[-4:].tolist()
    assert histories["step"].between(-3, 1).all()
    second = histories[histories["row"] == 2].sort_values("step")
    assert second["item"].tolist() == dataset.train_history(int(others[1]))[-4:].tolist()
    made = charts.histories_figure(histories, np.ones(3), "light")
    assert made.layout.yaxis.ticktext[0] == "this user"
    assert sum(len(t.x) for t in made.data) == len(histories)


def test_items_of_a_history_are_counted_by_who_chose_them_with_the_held_out_item(store: Store) -> None:
    dataset = make_dataset(store, users=80, items=30)
    case = Case.of(dataset, int(dataset.split.users("test")[0]))
    assert case.target is not None
    others = [set(dataset.train_history(u).tolist()) for u in range(dataset.n_users) if u != case.user]
    wanted = [sum(case.target in other and item in other for other in others) for item in case.read.tolist()]
    assert chosen_with(dataset, case, case.target).tolist() == wanted
    assert max(wanted) > 0


def test_ranks_of_all_runs_best_first_with_what_sets_them_apart(store: Store) -> None:
    dataset = make_dataset(store, users=60, items=40)
    runs = [
        make_run(store, dataset, "id"),
        make_run(store, dataset, "llm-esr"),
        make_run(store, dataset, "llm-esr", seed=43, distillation="off"),
    ]
    user = int(dataset.split.users("test")[5])
    table = rank_table([(r, r.per_user()) for r in runs], user, "full")
    assert table["rank"].is_monotonic_increasing
    for run in runs:
        rows = run.per_user().query("user == @user and part == 'test' and protocol == 'full'")
        assert table.set_index("run")["rank"][run.id] == rows["rank"].item()
    settings = table.set_index("run")["setting"]
    assert settings[runs[0].id] == ""
    assert settings[runs[1].id] == "taught by similar users"
    assert settings[runs[2].id] == "without similar users"
    figure = charts.rank_figure(table, "dark")
    assert len(figure.data) == 3
    assert sorted(t.x[0] for t in figure.data) == sorted(table["rank"].tolist())


def test_a_ranking_made_elsewhere_goes_by_its_name(store: Store, tmp_path: Path) -> None:
    dataset = make_dataset(store, users=60, items=40)
    path, user = tmp_path / "shop.csv", int(dataset.split.users("test")[5])
    path.write_text(f"user,item,rank\n{dataset.user_ids[user]},{dataset.catalogue['item_id'][0]},1\n")
    run = register_ranking(store, path, dataset, name="the shop's own")
    assert rank_table([(run, run.per_user())], user, "full")["setting"].tolist() == ["the shop's own"]


def test_several_seeds_are_one_dot_at_their_median() -> None:
    table = pd.DataFrame(
        {
            "label": "id/sasrec",
            "setting": "",
            "seed": [1, 2, 3],
            "rank": [4, 9, 100],
            "candidates": 500,
            "run": list("abc"),
        }
    )
    figure = charts.rank_figure(table, "light")
    assert figure.data[0].x == (9.0,)
    assert (figure.data[0].error_x.array[0], figure.data[0].error_x.arrayminus[0]) == (91, 5)
