from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmesr.errors import UserError
from llmesr.text.prompts import (
    TEMPLATES,
    attribute_lists,
    augment,
    clean,
    fill,
    item_prompts,
    user_prompt,
)

CATALOGUE = pd.DataFrame(
    {
        "item_id": ["1", "2", "3", "4"],
        "title": ["Nail Lacquer", "Balm; BB\ncream", "", "4"],
        "brand": ["OPI", "", "", ""],
        "store_name": ["here", "there", "", ""],
    }
)


def test_the_papers_wording() -> None:
    assert item_prompts(CATALOGUE, "beauty", ["title", "brand"])[0] == (
        "The beauty item has the following attributes: name is Nail Lacquer; brand is OPI."
    )


def test_separators_and_line_breaks_inside_values_are_replaced() -> None:
    assert item_prompts(CATALOGUE)[1] == (
        "The item has the following attributes: name is Balm, BB cream; store name is there."
    )


def test_items_without_text_have_no_prompt() -> None:
    """Neither does one whose title only repeats its id."""
    assert item_prompts(CATALOGUE)[2:] == ["", ""]


def test_attributes_in_the_given_order() -> None:
    assert attribute_lists(CATALOGUE, ["brand", "title"])[0] == ["brand is OPI", "name is Nail Lacquer"]
    with pytest.raises(UserError, match="no attribute 'colour'. Known: title, brand, store_name"):
        attribute_lists(CATALOGUE, ["colour"])
    with pytest.raises(UserError, match="empty"):
        attribute_lists(CATALOGUE, [])


@pytest.mark.parametrize("domain", TEMPLATES)
def test_every_domain_shows_the_attributes(domain: str) -> None:
    assert "name is Nail Lacquer; brand is OPI; store name is here" in item_prompts(CATALOGUE, domain)[0]


def test_an_id_is_no_title_in_a_template_either() -> None:
    untitled = CATALOGUE.assign(title=CATALOGUE["item_id"])
    assert item_prompts(untitled, "{title} ({attributes})")[0] == " (brand is OPI; store name is here)"


def test_own_templates() -> None:
    assert item_prompts(CATALOGUE, "{title} by {brand}!")[0] == "Nail Lacquer by OPI!"
    assert item_prompts(CATALOGUE, "Sold: {attributes}", ["brand"])[0] == "Sold: brand is OPI"
    with pytest.raises(UserError, match="neither a known one"):
        item_prompts(CATALOGUE, "beuty")
    with pytest.raises(UserError, match="placeholder '{price}' is not known"):
        item_prompts(CATALOGUE, "{title} for {price}")


def test_braces_in_values_are_only_text() -> None:
    catalogue = CATALOGUE.assign(title="{brand} {attributes} {0}")
    assert item_prompts(catalogue, "{title}")[0] == "{brand} {attributes} {0}"
    assert "name is {brand} {attributes} {0}" in item_prompts(catalogue)[0]


def test_reviews_come_last() -> None:
    made = item_prompts(CATALOGUE, "default", ["title"], extra=["dries fast", "", "fine", ""])
    assert made[0].endswith("name is Nail Lacquer; reviews say dries fast.")
    assert made[1].endswith("name is Balm, BB cream.")
    assert made[2].endswith("attributes: reviews say fine.")


def test_markup_is_not_text() -> None:
    assert clean("<p>Ink&nbsp;&amp; paper<br/>now</p> <!-- .h {color:#000;} -->") == "Ink & paper now"
    assert clean("a < b and b > c") == "a < b and b > c"
    assert clean("unclosed <!-- .headerM {color:#000000") == "unclosed"


def test_values_are_cut_near_a_word() -> None:
    assert clean("alpha beta gamma", 12) == "alpha beta"
    assert clean("x" * 300, 100) == "x" * 100
    assert clean("short", 100) == "short"


@given(st.text(max_size=300), st.integers(1, 120))
def test_clean_text_is_one_line_and_fits(value: str, room: int) -> None:
    made = clean(value, room)
    assert len(made) <= room
    assert ";" not in made
    assert "\n" not in made


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 2**31))
def test_augmented_prompts_keep_a_share_of_the_attributes(count: int, ratio: float, seed: int) -> None:
    attributes = [f"key{i} is value{i}" for i in range(count)]
    made = augment(attributes, ratio, np.random.default_rng(seed))
    inside = made.removeprefix("The item has the following attributes: ").removesuffix(".").split("; ")
    assert len(inside) >= 1
    assert count * (1 - ratio) - 1e-6 <= len(inside) < max(count * (1 - ratio), 0) + 1 + 1e-6
    assert set(inside) <= set(attributes)
    assert len(set(inside)) == len(inside)


def test_the_share_dropped_is_rounded_down() -> None:
    for count, kept in ((1, 1), (2, 2), (3, 2), (5, 3)):
        made = augment([f"k{i} is v" for i in range(count)], 0.4, np.random.default_rng(0))
        assert made.count(" is v") == kept


def test_augmentation_shuffles_and_is_the_generators_own() -> None:
    attributes = [f"k{i} is v" for i in range(8)]
    one, two = (augment(attributes, 0.4, np.random.default_rng(s)) for s in (1, 2))
    assert one != two
    assert one == augment(attributes, 0.4, np.random.default_rng(1))
    assert augment([], 0.4, np.random.default_rng(1)) == ""


def test_fill_without_attributes() -> None:
    assert fill([]) == "The item has the following attributes: ."


def test_user_prompt() -> None:
    assert user_prompt(["a", "b"]) == (
        "The user has visited the following items: a; b. Please conclude the user's preference."
    )
    assert user_prompt([]) == ""
