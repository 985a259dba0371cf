"""Small files of interactions for the tests of ingest."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset
from llmesr.data.ingest import ingest
from llmesr.store import Store

START = 1_500_000_000
HEADER = "user_id,item_id,timestamp"


def rows(users: int = 8, items: int = 5, each: int = 4) -> list[tuple[str, str, int]]:
    """(user, item, time): every user chooses ``each`` different items, times rise in file order."""
    return [(f"u{u}", f"i{(u + step) % items}", START + 1000 * u + step) for u in range(users) for step in range(each)]


def csv(lines: list[tuple[Any, ...]], header: str = HEADER, delimiter: str = ",") -> str:
    body = "".join(delimiter.join(map(str, line)) + "\n" for line in lines)
    return (header.replace(",", delimiter) + "\n" if header else "") + body


ALL = [(u, i) for u, i, _ in rows()]
BIG = rows(users=100)
GOOD = csv(rows())


def items_csv(items: int = 5) -> str:
    return "item_id,title,brand\n" + "".join(f"i{i},Thing {i},Brand {i % 2}\n" for i in range(items))


def put(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files; a name ending in .gz is compressed unless its content is bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") and isinstance(content, str) else data)
    return folder


def run(store: Store, folder: Path, files: dict[str, str | bytes], **settings: Any) -> Dataset:
    """Ingest ``files`` written to ``folder``, keeping everything (k_core 1) unless told otherwise."""
    put(folder, files)
    values = {"name": "shop", "k_core": 1, **settings}
    return ingest([folder / n for n in files], IngestConfig.read(None, **values), store)


def finding(dataset: Dataset, code: str) -> dict[str, Any]:
    """The finding with ``code`` in the validation report."""
    found: list[dict[str, Any]] = [f for f in dataset.manifest.info["report"] if f["code"] == code]
    assert found, f"{code} is not among {[f['code'] for f in dataset.manifest.info['report']]}"
    return found[0]


def nothing_left(store: Store) -> bool:
    """Whether the datasets folder is free of artifacts and of scratch folders."""
    folder = store.root / "datasets"
    return not folder.exists() or not list(folder.iterdir())


def choices(dataset: Dataset) -> list[tuple[str, str]]:
    ids = dataset.catalogue["item_id"].tolist()
    return [(dataset.user_ids[u], ids[i - 1]) for u in range(dataset.n_users) for i in dataset.history(u)]


def titles(dataset: Dataset) -> dict[str, str]:
    return dict(zip(dataset.catalogue["item_id"], dataset.catalogue["title"], strict=True))
