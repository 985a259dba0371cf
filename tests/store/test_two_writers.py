"""Two who change one manifest at the same time both have their way."""

from __future__ import annotations

import multiprocessing

import pytest
from factories import make_dataset

from llmesr.store import Store

EACH = 40


def change(root: str, id: str, name: str) -> None:
    store = Store(root)
    for number in range(EACH):
        with store.changing("datasets", id) as manifest:
            manifest.info[f"{name}{number}"] = number


@pytest.mark.slow
def test_no_change_of_a_manifest_is_lost(store: Store) -> None:
    data = make_dataset(store)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=change, args=(str(store.root), data.id, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    info = store.manifest("datasets", data.id).info
    assert {f"{name}{number}" for name in "ab" for number in range(EACH)} <= set(info)
