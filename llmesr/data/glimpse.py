"""The first and the last history of a file as they would be read, before anything is imported."""

from __future__ import annotations

import pandas as pd

from llmesr.config import IngestConfig
from llmesr.data.plan import file_plan
from llmesr.data.sources import Source
from llmesr.data.times import SECOND, TimeFormat, read

LENGTH = 8


def glimpse(source: Source, config: IngestConfig) -> pd.DataFrame:
    """User, item and time in the order of events, for the first and the last user among the first rows of the file:
    what is kept of them, without exact duplicates and, by the policy for repeats, without repeats.

    UserError where the import would ask or refuse.
    """
    one = file_plan(source, config)
    sample = source.sample
    frame = pd.DataFrame({"user": sample[one.columns["user_id"]], "item": sample[one.columns["item_id"]]})
    frame["time"] = ""
    if one.times is not None:
        moments = read(one.times, sample[one.columns["timestamp"]].tolist())
        frame["time"] = [_said(one.times, m) for m in moments]
        frame = frame.assign(moment=moments).dropna(subset="moment").sort_values("moment", kind="stable")
        frame = frame.drop_duplicates(["user", "item", "moment"]).drop(columns="moment")
    if config.repeats != "keep":
        frame = frame.drop_duplicates(["user", "item"], keep=config.repeats)
    filled = sample[one.columns["user_id"]].loc[lambda ids: ids != ""]
    ends = dict.fromkeys([filled.iloc[0], filled.iloc[-1]]) if len(filled) else {}
    return pd.concat([frame[frame["user"] == user].head(LENGTH) for user in ends] or [frame.head(0)], ignore_index=True)


def _said(times: TimeFormat, moment: int | None) -> str:
    if moment is None:
        return "unreadable"
    if times.kind == "order":
        return f"{moment / SECOND:g}"
    return str(pd.Timestamp(moment, unit="ns").isoformat(sep=" "))
