"""Rankings made elsewhere: the same numbers as a model of our own with the same scores, and clear refusals."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from evaluation_cases import Table, dataset_of
from hypothesis import given
from hypothesis import strategies as st

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.external import _levels, read_ranking
from llmesr.evaluation.ranks import evaluate
from llmesr.store import Store


@pytest.fixture
def data() -> Any:
    rng = np.random.default_rng(0)
    return dataset_of([rng.permutation(30)[: 3 + u % 4].__add__(1).tolist() for u in range(12)], n_items=30)


def full_table(data: Any, scores: Any) -> Any:
    user, item = np.nonzero(np.isfinite(scores[:, 1:]))
    return pd.DataFrame(
        {"user_id": data.user_ids[user], "item_id": [f"i{i + 1}" for i in item], "score": scores[:, 1:][user, item]}
    )


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.csv.gz", "r.parquet"])
def test_a_ranking_is_judged_as_a_model_with_its_scores(data: Any, tmp_path: Path, name: Any) -> None:
    scores = np.random.default_rng(1).integers(0, 9, (12, 31)).astype(float)
    table = full_table(data, scores).sample(frac=1, random_state=0)
    path = tmp_path / name
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if "tsv" in name else ",", index=False)
    ranking = read_ranking(path, data)
    assert ranking.notes == ["Lists are ordered by column 'score', the highest first."]
    ours, theirs = evaluate(Table(scores), data, "test"), evaluate(ranking.scorer, data, "test")
    assert theirs.frame.equals(ours.frame)


def test_what_a_list_does_not_name_is_tied_at_its_end(data: Any, tmp_path: Path) -> None:
    user = data.split.users("test")[0]
    seen, target = data.history(user)[:-1].tolist(), int(data.split.targets("test")[0])
    others = [i for i in range(1, 31) if i not in seen and i != target]
    path = tmp_path / "short.csv"
    path.write_text(f"user,item,rank\nu{user},i{others[0]},1\nu{user},i{others[1]},2\n")
    ranking = read_ranking(path, data)
    assert ranking.notes[0] == "Lists are ordered by column 'rank', 1 the best."
    assert ranking.notes[1:] == ["11 of 12 evaluated users have no list in short.csv: all items are tied for them."]
    result = evaluate(ranking.scorer, data, "test", top=5)
    full = result.frame[result.frame["protocol"] == "full"]
    tied = len(others) - 2
    assert full["rank"].iloc[0] == 3 + -(-tied // 2)
    assert result.top_items[0].tolist() == [others[0], others[1], 0, 0, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as a table"),
        ("user_id,item_id,score\n", "has a header but no rows"),
        ("a,b,c\n1,2,3\n", "no column for the user: name it 'user_id'. It has 'a', 'b', 'c'"),
        ("user_id,item_id\nu0,i1\n", "no column for the score"),
        ("user_id,item_id,score\nu0,i1,.5\nu0,i2,high\n", "line 3: the score 'high' is not a finite number"),
        ("user_id,item_id,score\nu0,i1,inf\n", "line 2: the score 'inf'"),
        ("user_id,item_id,score\nu0,i1,\n", "line 2: the score ''"),
        ("user_id,item_id,score\nu0,,1\n", "line 2: the item ('item_id') is missing"),
        ("user_id,item_id,score\nu0,i1,1\nu1,i1,1\nu0,i1,2\n", "line 4: item 'i1' is listed twice for user 'u0'"),
        ("user_id,item_id,score\nu0,x1,1\n", "No item of .* is in dataset 'case' (the first is 'x1')"),
        ("user_id,item_id,score\n0,i1,1\n", "No user of .* is in dataset 'case'"),
    ],
)
def test_what_cannot_be_used_is_named(data: Any, tmp_path: Path, content: Any, message: Any) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=message.replace("(", r"\(").replace(")", r"\)")):
        read_ranking(path, data)


def test_files_that_are_not_tables(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_ranking(tmp_path / "none.csv", data)
    for name, content in {"x.parquet": b"PAR1 no", "x.csv.gz": gzip.compress(b"user,item,score\n" * 9)[:12]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            read_ranking(tmp_path / name, data)


def test_unknown_users_and_items_are_counted_not_dropped_silently(data: Any, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_text("user_id,item_id,score\nu0,i1,1\nnew,i1,1\nu1,old,1\nu1,i2,1\n")
    _, first, second, third = read_ranking(path, data).notes
    assert first == "1 of 4 lines name users that dataset 'case' does not have (such as 'new') and were left out."
    assert "1 of 4 lines name items" in second
    assert third.startswith("10 of 12 evaluated users have no list")


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e9, 1e9)), min_size=1, max_size=40))
def test_levels_keep_order_and_ties_within_each_user(entries: Any) -> None:
    user = np.sort(np.array([u for u, _ in entries]))
    score = np.array([s for _, s in entries])
    level = _levels(user, score)
    for u in set(user.tolist()):
        own = user == u
        assert (np.sign(score[own][:, None] - score[own]) == np.sign(level[own][:, None] - level[own])).all()
        assert level[own].min() == 1


def ordered(data: Any, tmp_path: Path, header: Any, first: Any, second: Any) -> Any:
    """The item a ranking puts first for a user, from two lines (item, then the columns of ``header``)."""
    path = tmp_path / "recs.csv"
    path.write_text(f"user_id,item_id,{header}\nu0,i1,{first}\nu0,i2,{second}\n")
    ranking = read_ranking(path, data)
    scores = ranking.scorer.score(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0]))[0]
    return int(scores.argmax()), ranking.notes[0]


@pytest.mark.parametrize(
    ("header", "first", "second", "best", "said"),
    [
        ("rank,rating", "2,3.5", "1,3.5", 2, "column 'rank', 1 the best; 'rating' is not read"),
        ("rating,position", "5,2", "1,1", 2, "column 'position', 1 the best; 'rating' is not read"),
        ("value,rank", "9,1", "8,2", 1, "column 'rank'"),
        ("rank,score", "1,0.9", "2,0.1", 1, "column 'score', the highest first"),
        ("rank,prediction", "1,0.5", "2,0.5", 1, "column 'prediction'"),
        ("rating,score", "1,0.1", "0,0.9", 2, "column 'score'"),
        ("weight,other", "1,9", "3,1", 2, "column 'weight'"),
    ],
)
def test_the_column_that_orders_is_said(
    data: Any, tmp_path: Path, header: Any, first: Any, second: Any, best: Any, said: Any
) -> None:
    found, note = ordered(data, tmp_path, header, first, second)
    assert found == best
    assert said in note


def test_a_score_against_its_rank_is_refused(data: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"score \('score'\) and a rank \('rank'\) that give different orders"):
        ordered(data, tmp_path, "rank,score", "1,0.1", "2,0.9")


@pytest.mark.parametrize(
    "content", [b"user,item,score\nu0,caf\xe9,1\n", b"user,item,score\nu0,i1,1,2,3\nu0\n,,,,\n1,2,3,4,5,6\n"]
)
def test_no_library_speaks(data: Any, tmp_path: Path, content: Any) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a table") as caught:
        read_ranking(tmp_path / "bad.csv", data)
    assert not [w for w in ("codec", "tokenizing", "C error") if w in str(caught.value)]


def test_a_ranking_becomes_a_run_that_python_and_the_command_line_share(
    store: Store, tiny: Dataset, tmp_path: Path
) -> None:
    import llmesr

    path = tmp_path / "als.v2.csv"
    user, items = tiny.user_ids[int(tiny.split.users("test")[0])], tiny.catalogue["item_id"]
    path.write_text(f"user,item,rank\n{user},{items[0]},1\nnobody,{items[1]},1\n")
    run = llmesr.register_ranking(path, tiny, store=store)
    assert (run.label, run.manifest.name, run.status().state) == ("external", "als", "SUCCEEDED")
    notes = read_ranking(path, tiny).notes
    assert run.manifest.info["notes"] == notes
    assert len(notes) == 3  # what orders it, a user nobody knows, users without a list
    assert len(run.metrics()) > 0
    assert set(run.per_user()["part"]) == {"test"}
    assert llmesr.register_ranking(path, tiny, store=store).id == run.id  # the same again replaces it
    assert [m.id for m in store.list("runs")] == [run.id]
