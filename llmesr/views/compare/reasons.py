"""What the compared runs recommend to one user, and because of which items of the history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.evaluation.contenders import Contender
from llmesr.scoring.explanation import explain, sentence
from llmesr.store import Store
from llmesr.views.cache import models

SHOWN = 5
ABOUT = (
    "One user of the test part, with a history of median length. Because of: exact parts of the score, which is a sum "
    "over the history. Leans on: how far the item falls when that part of the history is left out."
)


def example(dataset: Dataset) -> int | None:
    """The first user of the test part whose history is of median length; None where nobody is asked."""
    users = dataset.split.users("test")
    if not len(users):
        return None
    lengths = np.asarray(dataset.lengths)[users]
    median = np.sort(lengths)[len(lengths) // 2]
    return int(users[lengths == median][0])


def reasons(root: Store, dataset: Dataset, chosen: Sequence[Contender]) -> pd.DataFrame:
    """configuration, rank, item and why, of the first run of each configuration; a run that cannot recommend says so
    in the place of a list."""
    user = example(dataset)
    rows: list[dict[str, Any]] = []
    for contender in chosen:
        if user is None:
            break
        try:
            found = models.recommender(root, contender.ids[0])
            request = found.request(user, SHOWN)
            answer = found.answer([request])[0]
            why = explain(found.scored, request.history, answer.items.tolist(), request.policy, request.user)
        except UserError as error:
            rows.append({"configuration": contender.name, "rank": None, "item": "", "why": str(error)})
            continue
        titles = found.titles.tolist()
        for rank, (item, told) in enumerate(zip(answer.items, why, strict=True), 1):
            text = sentence(told, titles)
            rows.append({"configuration": contender.name, "rank": rank, "item": titles[item - 1], "why": text})
    return pd.DataFrame(rows, columns=["configuration", "rank", "item", "why"]).astype({"rank": "Int64"})


def history_line(dataset: Dataset) -> str:
    """Whose lists these are, and what that user chose, the newest last."""
    user = example(dataset)
    if user is None:
        return ""
    titles = dataset.catalogue["title"].to_numpy(object)[dataset.history(user)[-SHOWN:] - 1]
    return f"User {dataset.user_ids[user]}, whose newest items are: {'; '.join(str(t) for t in titles)}."
