"""A new product and an edited text: numbers that follow from the ranks, users named, neighbours, the place on a map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lab_shop import opened

from llmesr.config import LabConfig
from llmesr.errors import UserError
from llmesr.lab.audience import Audience, ranks_of
from llmesr.lab.change import with_products
from llmesr.lab.edit import Moved, edit, whole_text
from llmesr.lab.launch import launch, new_to, placed, read_products
from llmesr.maps.make import POINTS, make_map
from llmesr.maps.projection import MapConfig
from llmesr.scoring.recommender import Recommender

pytest_plugins = ("lab_shop",)
K = LabConfig(k=5, nearest=3)


def text_of(scored: object, item: int) -> dict[str, str]:
    data = scored.dataset  # type: ignore[attr-defined]
    return {str(k): str(v) for k, v in data.catalogue[data.text_columns].iloc[item - 1].items()}


def test_a_copy_of_a_tail_item_reaches_who_would_be_reached_by_it() -> None:
    scored = opened("semantic-knn")
    item = int(np.asarray(scored.dataset.item_counts)[1:].argmin()) + 1
    [found] = launch(scored, [text_of(scored, item)], K)
    near = found.nearest.iloc[0]
    assert near["item_id"] == scored.dataset.catalogue["item_id"].iloc[item - 1]
    assert near["cosine"] == pytest.approx(1, abs=1e-5)
    assert len(found.nearest) == 3
    original = ranks_of(scored, np.array([item]), found.audience)[:, 0]
    # The copy and the original tie, and ties share the middle: at most one place apart, and the copy competes with it.
    assert np.abs(found.ranks - original).max() <= 1
    assert found.reach == int(((found.ranks > 0) & (found.ranks <= 5)).sum())
    assert found.share == found.reach / len(found.audience)


def test_who_has_an_item_of_the_very_text_is_left_out() -> None:
    scored = opened("semantic-knn")
    data = scored.dataset
    item = int(np.asarray(data.item_counts)[1:].argmax()) + 1
    have = [user for user in range(data.n_users) if item in data.history(user)]
    shouted = {name: text.upper() for name, text in text_of(scored, item).items()}
    [copy, other] = launch(scored, [shouted, {**shouted, "title": "Another"}], K)
    assert copy.owners == len(have) > 1
    assert copy.audience.users.tolist() == sorted(set(range(data.n_users)) - set(have))
    assert len(copy.ranks) == len(copy.audience)
    assert not set(copy.users["user_id"]) & set(data.user_ids[have])
    assert copy.left_out == f"{len(have)} users have an item of this very text already and are left out."
    assert (other.owners, other.left_out, len(other.audience)) == (0, "", data.n_users)


def test_a_text_that_everybody_has_is_new_to_nobody() -> None:
    scored = opened("semantic-knn")
    audience = Audience(np.array([0]), np.array([len(scored.dataset.history(0))]), "")
    change = with_products(scored.dataset, [text_of(scored, int(scored.dataset.history(0)[0]))])
    with pytest.raises(UserError, match="new to nobody"):
        new_to(change, int(change.items[0]), audience)


def test_items_of_the_same_text_are_told_by_their_words_not_by_their_ids() -> None:
    scored = opened("semantic-knn")
    catalogue = scored.dataset.catalogue.copy()
    blank = dict.fromkeys(scored.dataset.text_columns, "")
    for row in (3, 8):
        id = catalogue["item_id"].iat[row]
        catalogue.loc[row, list(blank)] = list({**blank, "title": id, "category": "Lamps"}.values())
    change = with_products(replace(scored.dataset, catalogue=catalogue), [{"category": "lamps"}, {"title": "Lamps"}])
    assert [change.alike(int(item)).tolist() for item in change.items] == [[4, 9], []]


def test_the_users_named_are_those_who_would_see_it_first_and_why() -> None:
    scored = opened("text-ease")
    [found] = launch(scored, [{"title": "Norodis gravel bike light", "category": "Cycling"}], K)
    assert found.users["rank"].is_monotonic_increasing
    assert found.users["rank"].tolist() == sorted(found.ranks[found.ranks > 0])[:20]
    user = scored.dataset.user(found.users["user_id"].iloc[0])
    assert found.ranks[np.searchsorted(found.audience.users, user)] == found.users["rank"].iloc[0]
    assert found.users["why"].iloc[0].startswith("because of ")
    assert set(found.parts) == {"collaborative", "semantic"}
    assert found.parts["semantic"] > 0
    assert found.parts["collaborative"] == pytest.approx(0, abs=1e-6)
    assert "name is Norodis gravel bike light; category is Cycling" in found.text


def test_the_place_on_a_map_is_between_the_nearest_items() -> None:
    scored = opened("semantic-knn")
    assert scored.embedding is not None
    drawn = make_map(
        scored.dataset, [f"embedding:{scored.embedding.id}"], MapConfig(umap=False, sample=100), scored.store
    )
    try:
        [found] = launch(scored, [text_of(scored, 7)], K)
    finally:
        scored.store.delete("maps", drawn.id)
    assert found.place is not None
    assert found.place.map_id == drawn.id
    assert found.place.beside[0] == 7
    assert len(found.place.beside) == 5
    xy = drawn.xy("semantic", found.place.method)
    asked = Recommender(scored)
    table = asked.ground.content().text
    cosines = [float(table[i] @ table[7]) for i in found.place.beside]
    expected = np.average(xy[[i - 1 for i in found.place.beside]], axis=0, weights=cosines)
    assert [found.place.x, found.place.y] == pytest.approx(expected.tolist(), abs=1e-4)
    assert 0 < found.place.spread < 1
    assert placed(asked, 7, drawn) is not None


def test_a_damaged_map_gives_no_place_and_the_rest_of_the_answer() -> None:
    scored = opened("semantic-knn")
    assert scored.embedding is not None
    spec = f"embedding:{scored.embedding.id}"
    drawn = make_map(scored.dataset, [spec], MapConfig(umap=False, sample=100), scored.store)
    try:
        (scored.store.path("maps", drawn.id) / POINTS).write_bytes(b"x")
        [found] = launch(scored, [text_of(scored, 7)], K)
    finally:
        scored.store.delete("maps", drawn.id)
    assert found.place is None
    assert len(found.nearest) == 3


def test_tables_of_products() -> None:
    frame = pd.DataFrame({"title": ["Lamp", None], "brand": [" ", "Norodis"]})
    assert read_products(frame) == [{"title": "Lamp"}, {"brand": "Norodis"}]
    with pytest.raises(UserError, match="no product"):
        read_products(frame.iloc[:0])


def test_a_title_with_octets_that_are_no_text_is_read() -> None:
    scored = opened("semantic-knn")
    (found,) = launch(scored, [{"title": "Lamp \udcff"}], K)
    assert found.title == "Lamp ?"


def test_places_gained_and_lost_by_hand() -> None:
    audience = Audience(np.arange(5), np.ones(5, np.int64), "")
    moved = Moved(audience, np.array([3, 8, 0, 2, 9]), np.array([8, 2, 0, 1, 7]), k=5)
    assert moved.gained.tolist() == [False, True, False, False, False]
    assert moved.lost.tolist() == [True, False, False, False, False]
    assert moved.candidates.tolist() == [True, True, False, True, True]
    assert (moved.reach("before"), moved.reach("after")) == (2, 2)
    assert (moved.median("before"), moved.median("after")) == (5.5, 4.5)


def test_an_item_given_the_text_of_another_stands_beside_it() -> None:
    scored = opened("adapter")
    target = int(np.asarray(scored.dataset.item_counts).argmax())
    found = edit(scored, 9, text_of(scored, target), K)
    assert found.nearest_after["item_id"].iloc[0] == scored.dataset.catalogue["item_id"].iloc[target - 1]
    assert found.nearest_before["item_id"].iloc[0] != found.nearest_after["item_id"].iloc[0]
    assert found.text_before != found.text_after
    users, targets = scored.dataset.split.pairs("valid")
    assert found.targets.audience.users.tolist() == users[targets == 9].tolist()
    frame = found.moved_users(scored.dataset)
    assert len(frame) == int(found.everyone.gained.sum() + found.everyone.lost.sum())
    assert (frame["change"] == "gained").sum() == found.everyone.gained.sum()


def test_a_whole_text_takes_the_place_of_all_attributes() -> None:
    scored = opened("adapter")
    found = edit(scored, 9, whole_text(scored.dataset, "A tent"), K)
    assert found.text_after == "The item has the following attributes: name is A tent."
