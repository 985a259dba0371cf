"""Where a metric says little because there is hardly anything to choose from."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from llmesr.evaluation.table import has_several

NEGATIVES = 100
COLUMNS = ("user", "part", "protocol", "candidates")


def few_candidates(frame: pd.DataFrame, metrics: Sequence[str], part: str = "test") -> list[str]:
    """A sentence for each protocol in which some users have fewer candidates than a cutoff of ``metrics``, or than the
    100 negatives of ``uni100`` and the target; of ``frame`` (``ranks.evaluate``) :data:`COLUMNS` are read."""
    cutoffs = [int(m.partition("@")[2]) for m in metrics if m.partition("@")[2].isdigit()]
    notes = []
    for protocol in dict.fromkeys(frame["protocol"]):
        own = frame[(frame["protocol"] == protocol) & (frame["part"] == part)]
        least = own.groupby("user")["candidates"].min() if has_several(own) else own["candidates"]
        users = least + 1  # the target is a candidate too
        wanted = NEGATIVES + 1 if protocol == "uni100" else max(cutoffs, default=0)
        few = int((users < wanted).sum())
        if few:
            what = (
                f"only {int(users.min())} for one of them: ranks are better than they would be among {NEGATIVES}"
                if protocol == "uni100"
                else "whoever ranks them, the target is among the first"
            )
            notes.append(f"{few:,} of {len(users):,} users have fewer than {wanted} candidates in {protocol} ({what}).")
    return notes
