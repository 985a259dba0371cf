"""Columns as shops of other languages call them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from marketplace import csv, nothing_left, run

from llmesr.data.columns import guess_interactions, guess_items
from llmesr.errors import UserError
from llmesr.store import Store

USERS, ITEMS = [f"K-{n // 4}" for n in range(40)], [f"0400{n % 17}" for n in range(40)]
TIMES, STARS = [f"{1 + n % 28:02d}.03.2025 16:08" for n in range(40)], ["4,5", "3,0"] * 20
ORDERS = [f"B{n}" for n in range(40)]

SHOPS = {
    "German": ("Bestellnummer", "Kundennummer", "Artikelnummer", "Bestelldatum", "Bewertung"),
    "German, short": ("Auftrags-Nr.", "KdNr", "Art.-Nr.", "Datum", "Stückzahl"),
    "German, bare": ("Beleg-Nr", "Kunde", "Artikel", "gekauft", "Sterne"),
    "Polish": ("nr_zamówienia", "id_użytkownika", "kod_produktu", "data_zakupu", "ocena"),
    "French": ("N° commande", "Numéro de client", "Réf. article", "date d'achat", "quantité"),
    "Spanish": ("pedido", "id_cliente", "código de producto", "fecha", "valoración"),
    "Italian": ("ordine", "codice cliente", "codice prodotto", "data", "voto"),
    "Portuguese": ("pedido", "id do cliente", "código do produto", "data", "avaliação"),
    "Dutch": ("bestelnummer", "klantnummer", "artikelnummer", "datum", "aantal"),
}


@pytest.mark.parametrize("language", SHOPS)
def test_the_columns_of_a_shop_are_told_in_its_language(language: str) -> None:
    order, user, item, when, weight = SHOPS[language]
    sample = pd.DataFrame({order: ORDERS, user: USERS, item: ITEMS, when: TIMES, weight: STARS})
    found = guess_interactions(list(sample), sample)
    assert {f: g.column for f, g in found.items()} == {
        "user_id": user, "item_id": item, "timestamp": when, "weight": weight,
    }  # fmt: skip
    assert min(g.confidence for g in found.values()) >= 0.7
    assert not any(g.rivals for g in found.values())


@pytest.mark.parametrize(
    ("columns", "item", "title"),
    [
        (["Artikelnummer", "Bezeichnung", "Hersteller"], "Artikelnummer", "Bezeichnung"),
        (["kod produktu", "Tytuł"], "kod produktu", "Tytuł"),
        (["id_produit", "Libellé"], "id_produit", "Libellé"),
        (["código del artículo", "título"], "código del artículo", "título"),
        (["Artikel", "Preis"], None, None),  # it may be a name: the ids decide
    ],
)
def test_items_are_told_by_their_number_alone(columns: list[str], item: str | None, title: str | None) -> None:
    found = guess_items(columns)
    assert [found[f].column if f in found else None for f in ("item_id", "title")] == [item, title]


def test_an_english_name_goes_before_one_from_abroad() -> None:
    sample = pd.DataFrame({"client": USERS, "user_id": USERS, "artikelnummer": ITEMS, "item_id": ITEMS})
    found = guess_interactions(list(sample), sample)
    assert (found["user_id"].column, found["item_id"].column) == ("user_id", "item_id")


def test_an_order_number_is_nobody_and_who_comes_again_is_the_likelier_user() -> None:
    nameless = pd.DataFrame({"Bestellnummer": ORDERS, "a": ORDERS, "b": USERS, "c": ITEMS})
    found = guess_interactions(list(nameless), nameless)
    assert (found["user_id"].column, found["item_id"].column) == ("b", "c")
    assert max(g.confidence for g in found.values()) < 0.5


def test_words_that_are_no_numbers_are_no_weight() -> None:
    sample = pd.DataFrame({"user_id": USERS, "item_id": ITEMS, "note": ["please ring twice"] * 40})
    assert "weight" not in guess_interactions(list(sample), sample)


def test_an_order_number_for_the_user_is_named_where_nothing_is_left(store: Store, tmp_path: Path) -> None:
    lines = [(order, item, 1_500_000_000 + n) for n, (order, item) in enumerate(zip(ORDERS, ITEMS, strict=True))]
    written = csv(lines + lines[:2], header="Bestellnummer,Artikelnummer,Datum")
    with pytest.raises(UserError, match=r"'Bestellnummer' stands once .* an order number\?"):
        run(store, tmp_path / "in", {"x.csv": written}, columns={"user_id": "Bestellnummer"}, k_core=2)
    assert nothing_left(store)
