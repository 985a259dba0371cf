"""Quotes: a stray one swallows no lines, and those that are text stay text."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from marketplace import (
    BIG,
    GOOD,
    HEADER,
    START,
    choices,
    csv,
    finding,
    rows,
    run,
    titles,
)

from llmesr.store import Store


def reviews(flaw: dict[int, str]) -> str:
    """400 choices with a word each; ``flaw``: row -> another last cell."""
    return csv([(*r, flaw.get(n, "fine")) for n, r in enumerate(BIG)], f"{HEADER},note")


STRAYS: dict[str, tuple[dict[int, str], int]] = {
    "never closes": ({200: '"oops'}, 1),
    "two that would close each other": ({100: '"oops', 300: 'oops"'}, 1),
    "two in neighbouring lines": ({100: '"one', 101: '"two'}, 2),
    "closes in the next line": ({100: '"one', 101: 'two"'}, 1),
    "in the last line": ({399: '"oops'}, 1),
    "text behind the quotation": ({7: '"Weird Al" Yankovic', **dict.fromkeys(range(9, 30), '"fine"')}, 1),
    "quotes not doubled": ({7: '"the "best" of"'}, 1),
}


@pytest.mark.parametrize("case", STRAYS)
def test_a_stray_quote_loses_no_line_and_is_named(case: str, store: Store, tmp_path: Path) -> None:
    flaw, strays = STRAYS[case]
    dataset = run(store, tmp_path / "in", {"shop.csv": reviews(flaw)})
    assert len(dataset.items) == 400
    found = finding(dataset, "stray_quotes")
    assert found["count"] == strays
    assert found["examples"][0].startswith(f"shop.csv line {min(flaw) + 2}: ")


def test_a_stray_quote_that_costs_its_line_costs_only_that(store: Store, tmp_path: Path) -> None:
    text = reviews({}).replace(f"u50,i0,{START + 50000}", f'u50,"i0,{START + 50000}')
    lines = text.replace('u50,"i0,', 'u50,"i0, red,').splitlines()
    at = next(n for n, line in enumerate(lines, 1) if '"' in line)
    dataset = run(store, tmp_path / "in", {"shop.csv": "\n".join(lines) + "\n"})
    assert len(dataset.items) == 399
    kept = pd.read_parquet(store.path("datasets", dataset.id) / "rejects.parquet")
    assert kept[["line", "reason"]].values.tolist() == [[at, "a quote in the wrong place"]]


def test_cells_over_several_lines_are_no_strays(store: Store, tmp_path: Path) -> None:
    items = "item_id,title\n" + "".join(f'i{n},"Line one\nand, ""two"" of {n}"\n' for n in range(5))
    first = 'title,item_id,price\n"Line one\nrest",i0,1.5\n' + "".join(f"Thing,i{n},2\n" for n in range(1, 5))
    dataset = run(store, tmp_path / "a", {"shop.csv": csv(rows()), "items.csv": items})
    assert titles(dataset)["i3"] == 'Line one and, "two" of 3'
    dataset = run(store, tmp_path / "b", {"shop.csv": csv(rows()), "items.csv": first})
    assert titles(dataset)["i0"] == "Line one rest"


def test_lines_behind_a_long_cell_keep_their_numbers(store: Store, tmp_path: Path) -> None:
    text = (
        csv([(*r, '"two\nlines"' if n == 3 else "x") for n, r in enumerate(BIG)], f"{HEADER},note") + "u1,i9,never,x\n"
    )
    dataset = run(store, tmp_path / "in", {"shop.csv": text})
    assert finding(dataset, "rejected")["examples"] == ["shop.csv line 403: u1, i9, never"]


def test_backslashes_before_quotes(store: Store, tmp_path: Path) -> None:
    items = "item_id,title\n" + "".join(f'i{n},"The \\"best\\", of {n}"\n' for n in range(5))
    dataset = run(store, tmp_path / "in", {"shop.csv": GOOD, "items.csv": items})
    assert titles(dataset)["i2"] == 'The "best", of 2'


def test_backslashes_that_end_a_cell_are_text(store: Store, tmp_path: Path) -> None:
    items = "item_id,title\n" + "".join(f'i{n},"C:\\dir {n}\\"\n' for n in range(5))
    dataset = run(store, tmp_path / "in", {"shop.csv": GOOD, "items.csv": items})
    assert titles(dataset)["i2"] == "C:\\dir 2\\"


def test_quotes_that_are_text_everywhere_need_no_mending(store: Store, tmp_path: Path) -> None:
    table = csv([(u, f'"{i}" deluxe', t) for u, i, t in rows()], HEADER, "\t")
    dataset = run(store, tmp_path / "in", {"shop.tsv": table})
    assert "stray_quotes" not in [f["code"] for f in dataset.manifest.info["report"]]
    assert choices(dataset)[0] == ("u0", '"i0" deluxe')
