"""The view of slices: a metric by what is known of items and users, and a search for what stands out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from llmesr.errors import UserError
from llmesr.evaluation.slice_columns import FEWEST
from llmesr.evaluation.slices import QUESTIONS, Found, Question
from llmesr.evaluation.table import Group
from llmesr.evaluation.verdict import p_text
from llmesr.prose import counted, signed
from llmesr.views.cache.slices import users_in
from llmesr.views.compare import drill, segments
from llmesr.views.compare.choice import Choice
from llmesr.views.compare.slice_charts import slice_chart
from llmesr.views.shared import clicks, exhibits, links, widgets
from llmesr.views.shared.marks import plain
from llmesr.views.shared.words import as_text

SHORT: dict[Question, str] = {"fails": "Where it fails", "helps": "Where it gains", "hurts": "Where it gains least"}
ASKED = " ".join(f"**{SHORT[q]}**: {sentence[0].lower()}{sentence[1:]}" for q, sentence in QUESTIONS.items())


def slices(choice: Choice) -> None:
    """What stands out, a column at a time, and the users behind a slice; about one configuration and the baseline."""
    values = choice.by_slice()
    if values.empty:
        widgets.empty(f"No column of this dataset's items is shared by at least {FEWEST} targets: there are no slices.")
        return
    with st.container(border=True, key="stands-out"):
        with st.container(key="stands-how"):
            left, right = st.columns([2, 3])
        with left:
            names = [c.name for c in choice.chosen]
            about = str(links.choose("Configuration", names, "about", default=choice.foremost))
        with right:
            asked = [q for q in QUESTIONS if q == "fails" or about != choice.reference]
            picked = links.choose(
                "What stands out", asked, "stands", kind="segmented", show=lambda q: SHORT[_question(q)], help=ASKED
            )
        found = _stand_out(choice, about, _question(picked))
    _by_column(choice, values, about)
    if about != choice.reference:
        _users(choice, found, about)
    segments.fairness(choice, about)
    segments.worth(choice)


def _question(key: str | None) -> Question:
    return next(q for q in QUESTIONS if q == (key or "fails"))


def _stand_out(choice: Choice, about: str, question: Question) -> list[Found]:
    """The answer of the search: what half of the users say, and whether the other half confirms it."""
    try:
        found = choice.stand_out(about, question)
    except UserError as error:  # too few users: the columns below can still be read
        st.info(str(error), icon=":material/info:")
        return []
    sure = [f for f in found if f.confirmed]
    if sure:
        st.markdown(_sentence(sure[0], about, choice, question))
    else:
        tried = f"{counted(len(found), 'slice')} stood out in one half of the users; the other half confirms none."
        st.markdown(f"**Nothing stands out.** {tried if found else 'No slice differs notably from the rest.'}")
    if found:
        exhibits.table(_found_table(found, question), key="found", name="slices-that-stand-out")
    st.caption(
        "Slices of up to three conditions, searched in one random half of the users and tested on the other: values "
        "and p (one-sided, corrected for all that were tested) are of the half that was not searched. "
        "Every question is corrected on its own."
    )
    return found


def _sentence(best: Found, about: str, choice: Choice, question: Question) -> str:
    what = f"{choice.metric} of {as_text(about)}"
    if question != "fails":
        what = f"the gain of {as_text(about)} over {as_text(choice.reference)} in {choice.metric}"
        value, rest = signed(best.value), signed(best.rest)
    else:
        value, rest = (f"{v:.3f}" for v in (best.value, best.rest))
    users = counted(best.users, "user")
    return f"**{as_text(best.group.name)}**: {what} is **{value}** there and {rest} elsewhere ({users})."


def _found_table(found: Sequence[Found], question: Question) -> pd.DataFrame:
    shown = "{:.3f}".format if question == "fails" else signed
    return pd.DataFrame(
        {
            "slice": [f.group.name for f in found],
            "users": [f.users for f in found],
            "there": [shown(f.value) for f in found],
            "elsewhere": [shown(f.rest) for f in found],
            "test": [p_text(f.p_adjusted) for f in found],
            "": ["confirmed" if f.confirmed else "not confirmed" for f in found],
        }
    )


def _by_column(choice: Choice, values: pd.DataFrame, about: str) -> None:
    column = str(links.choose("Slices by", list(dict.fromkeys(values["dimension"])), "column"))
    rows = values[values["dimension"] == column]
    drawn = pd.concat([rows[rows["run"] == name] for name in dict.fromkeys((about, choice.reference))])
    mark = clicks.chart(
        slice_chart(drawn, column, choice.metric, choice.line, widgets.mode()),
        key="slices",
        parts=1,
        alt=f"{choice.metric} by {column}: a dot with its 95% interval for {about} and {choice.reference}.",
        data=_wide(choice, rows, column, about),
        name=f"slices-by-{column}",
    )
    groups = [g for g in choice.slice_groups() if g.dimension == column and [plain(g.name)] == mark]
    if groups:
        _listed(choice, groups[0], about, f"{column}: {groups[0].name}", "slices")


def _wide(choice: Choice, rows: pd.DataFrame, column: str, about: str) -> pd.DataFrame:
    """A row per slice: users, the mean of each configuration, and what ``about`` gains over the baseline, with p."""
    wide = rows.pivot_table(index="group", columns="run", values="value", sort=False)[[c.name for c in choice.chosen]]
    made = wide.round(4).rename_axis(columns=None)
    made.insert(0, "users", rows.drop_duplicates("group").set_index("group")["users"])
    if about != choice.reference:
        tests = choice.tests_by_slice(about)
        own = tests[tests["dimension"] == column].set_index("group")
        made[f"{about}: gain"] = own["difference"].round(4)
        made[f"{about}: p (corrected)"] = own["p_adjusted"].round(4)
    return made.rename_axis(index="slice").reset_index()  # the column may be called as a run is


def _users(choice: Choice, found: Sequence[Found], about: str) -> None:
    """Who is behind a slice, for any of those on the page."""
    box = links.folded("Users of a slice", "slice")
    if not box.open:
        return
    with box:
        groups = {f.group.name: f.group for f in found}
        groups |= {f"{g.dimension}: {g.name}": g for g in choice.slice_groups()}
        name = str(links.choose("Slice", list(groups), "slice"))
        _listed(choice, groups[name], about, name, "slice.table")


def _listed(choice: Choice, group: Group, about: str, title: str, key: str) -> None:
    drill.of_numbers(
        choice, about, users_in(choice.root, choice.lineup, group, choice.metric, choice.protocol), title, key
    )
