"""What the Compare page shows: who is compared and by what, then one view at a time."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from llmesr.data.dataset import Dataset
from llmesr.data.groups import Thresholds, default_thresholds
from llmesr.evaluation.beyond import overlap
from llmesr.evaluation.contenders import Contender, contenders
from llmesr.evaluation.contrast import frontier, seesaw
from llmesr.evaluation.findings import Finding
from llmesr.evaluation.verdict import Verdict
from llmesr.store import Store, slug
from llmesr.views.cache import artifacts, evidence
from llmesr.views.compare import charts
from llmesr.views.compare.frames import beyond_frame, drill_down, outcomes
from llmesr.views.compare.report import Findings, comparison_report
from llmesr.views.shared import exhibits, links, pickers, widgets, words
from llmesr.views.shared.tables import readable_comparison, readable_summary
from llmesr.views.shared.words import as_text
from llmesr.views.story.material import material
from llmesr.views.story.steps import STEPS, StoryStep, sections

VIEWS = {
    "groups": "Head and tail",
    "curves": "Along the tail",
    "seesaw": "Who pays",
    "lists": "Beyond accuracy",
    "users": "User by user",
    "scoring": "Scoring",
    "search": "Search",
}
KS, METRICS = ("5", "10", "20"), ("HR", "NDCG", "MRR")
AT_FIRST = 6


@dataclass(frozen=True, eq=False)
class Choice:
    """What the visitor asks about."""

    root: Store
    dataset: Dataset
    chosen: list[Contender]
    reference: str
    thresholds: Thresholds
    protocol: str
    metric: str
    k: int

    @property
    def lineup(self) -> dict[str, tuple[str, ...]]:
        return {c.name: c.ids for c in self.chosen}

    @property
    def labels(self) -> dict[str, str]:
        return {c.name: c.label for c in self.chosen}

    @property
    def others(self) -> list[str]:
        return [c.name for c in self.chosen if c.name != self.reference]

    @property
    def line(self) -> str:
        """Protocol and head/tail definition."""
        return words.protocol_line(self.protocol, self.thresholds)

    def labelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(label=frame["run"].map(self.labels))

    def summary(self) -> pd.DataFrame:
        return self.labelled(evidence.summary(self.root, self.lineup, self.thresholds, self.metric, self.protocol))

    def comparison(self) -> pd.DataFrame:
        return self.labelled(
            evidence.comparison(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)
        )

    def judged(self) -> list[Verdict]:
        return evidence.judged(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)

    def findings(self) -> tuple[Finding, ...]:
        return evidence.findings(self.root, self.lineup, self.reference, self.thresholds, self.metric, self.protocol)

    def curves(self, dimension: str) -> pd.DataFrame:
        found = evidence.curves(self.root, self.lineup, dimension, self.metric, self.protocol)  # type: ignore[arg-type]
        return self.labelled(found)

    def beyond(self) -> pd.DataFrame:
        text = evidence.newest_embedding(self.root, self.dataset.id)
        return self.labelled(evidence.beyond(self.root, self.lineup, self.dataset.id, text, self.thresholds, self.k))

    def movers(self, after: str) -> pd.DataFrame:
        pair = {name: self.lineup[name] for name in (self.reference, after)}
        return evidence.movers(self.root, pair, self.metric, self.protocol)

    def every_metric(self) -> pd.DataFrame:
        return evidence.full_table(self.root, self.lineup, self.thresholds, self.k, self.protocol)


def choose(root: Store, dataset_id: str) -> Choice | None:
    """The pickers. None, with a sentence saying what to do, while there is nothing to compare."""
    runs = artifacts.runs(root, dataset_id, finished=True)
    if not runs:
        widgets.empty("No run of this dataset has been evaluated yet.", links.TRAINING, "Train one")
        return None
    dataset = artifacts.dataset(root, dataset_id)
    every = {c.name: c for c in contenders(runs)}
    first = _at_first(list(every.values()))
    names = links.choose_many(
        "Configurations", list(every), "compare", show=lambda n: _with_seeds(every[n]), default=first
    )
    chosen = _of_seeds([every[n] for n in every if n in names])
    if not chosen:
        widgets.empty("Choose at least one configuration above.")
        return None
    left, middle, right = st.columns([3, 2, 2])
    with left:
        options = [c.name for c in chosen]
        plain = next((c.name for c in chosen if c.method == "id"), options[0])
        reference = links.choose("Against", options, "against", default=plain, help="Gains are measured from here.")
    with middle:
        name = links.choose("Metric", list(METRICS), "metric", kind="segmented", default="NDCG")
    with right:
        k = links.choose("K", list(KS), "k", kind="segmented", default="10", help="Length of the list that is judged.")
    protocol = pickers.pick_protocol()
    thresholds = _thresholds(dataset)
    return Choice(root, dataset, chosen, str(reference), thresholds, protocol, f"{name}@{k}", int(str(k)))


def _at_first(every: list[Contender]) -> list[str]:
    """One configuration of each label, with the most seeds, as trained and with tuned scoring."""
    best: dict[tuple[str, bool], Contender] = {}
    for contender in every:
        kind = (contender.label, "policy" in contender.manifests[0].info)
        if kind not in best or len(contender.runs) > len(best[kind].runs):
            best[kind] = contender
    return [c.name for c in best.values()][:AT_FIRST]


def _with_seeds(contender: Contender) -> str:
    seeds = len(contender.seeds)
    return contender.name if seeds == 1 else f"{contender.name} · {seeds} seeds"


def _of_seeds(chosen: list[Contender]) -> list[Contender]:
    seeds = sorted({s for c in chosen for s in c.seeds})
    if len(seeds) < 2:
        return chosen
    with st.sidebar:
        help = "Values are averaged over the seeds of a configuration before they are compared."
        kept = links.choose_many("Seeds", [str(s) for s in seeds], "seeds", default=[str(s) for s in seeds], help=help)
    # A configuration trained with one seed alone has nothing to be averaged with: it stays.
    left = [c.of_seeds(map(int, kept)) or (c if len(c.seeds) == 1 else None) for c in chosen]
    return [c for c in left if c is not None]


def _thresholds(dataset: Dataset) -> Thresholds:
    """Two sliders, 80/20 by a button; the dataset's own definition at first. Nothing is evaluated again."""
    saved = dataset.thresholds
    lengths = dataset.split.train_lengths
    most = {"item": max(2, saved.item, int(dataset.item_counts.max())), "user": max(2, saved.user, int(lengths.max()))}
    with st.sidebar:
        st.markdown("**Head and tail**")
        if st.button("80/20", help="The fifth of items, and of users, with the most interactions is the head."):
            even = default_thresholds(dataset.item_counts[1:], lengths)
            st.session_state["tail_item"], st.session_state["tail_user"] = even.item, even.user
        item = _slider("Tail items have fewer than", "tail_item", most["item"], saved.item)
        user = _slider("Tail users have fewer than", "tail_user", most["user"], saved.user)
        st.caption("Training interactions. Moving these needs no new evaluation.")
    return Thresholds(item=item, user=user)


def _slider(label: str, key: str, most: int, at_first: int) -> int:
    if st.session_state.get(key, 1) > most:  # carried over from a larger dataset
        del st.session_state[key]
    return int(st.slider(label, 1, most, at_first, key=key, bind="query-params"))


def verdict(choice: Choice) -> None:
    """What the comparison says, in words, above everything else."""
    if not choice.others:
        st.info("Add a second configuration to have it compared.", icon=":material/balance:")
        return
    with st.container(border=True):
        st.markdown(f"**Against {as_text(choice.reference)}**, in {choice.metric}:")
        for said in choice.judged():
            st.markdown(f"- **{as_text(said.run)}**: {as_text(said.sentence(metric=False), 1000)}")
        if choice.summary()["warning"].ne("").any():
            small = choice.summary().loc[lambda t: t["warning"].ne("")]
            where = "; ".join(f"{r.run}, {r.group} ({r.warning.split(':')[0]})" for r in small.itertuples())
            st.caption(f"Values that rest on too little: {as_text(where, 1000)}.")


def groups(choice: Choice) -> None:
    """Values with intervals and, against the reference, differences with tests."""
    summary, mode = choice.summary(), widgets.mode()
    exhibits.chart(
        charts.group_chart(summary, choice.metric, choice.line, mode),
        key="groups",
        alt=f"{choice.metric} of {len(choice.chosen)} configurations in the five groups, with 95% intervals.",
        data=readable_summary(summary),
        name="metrics-by-group",
    )
    if choice.others:
        comparison = choice.comparison()
        exhibits.chart(
            charts.difference_chart(comparison, choice.metric, choice.reference, choice.line, mode),
            key="differences",
            alt=f"Gain in {choice.metric} over {choice.reference} by group, with 95% intervals.",
            data=readable_comparison(comparison),
            name="differences",
        )
    # Computed when it is opened: a moved threshold changes all of it.
    box = st.expander(
        "Every metric, every group and the four cells of users and items", key="every.box", on_change="rerun"
    )
    if box.open:
        with box:
            exhibits.table(choice.every_metric(), key="every", name="all-metrics")


def curves(choice: Choice) -> None:
    """Accuracy along popularity and along history length."""
    for column, dimension in zip(st.columns(2), ("popularity", "length"), strict=True):
        with column:
            frame = choice.curves(dimension)
            exhibits.chart(
                charts.bucket_chart(frame, choice.metric, dimension, choice.line, widgets.mode()),
                key=f"curve.{dimension}",
                alt=f"{choice.metric} over five buckets by {dimension}, one line per configuration.",
                data=readable_summary(frame),
                name=f"curve-{dimension}",
            )


def who_pays(choice: Choice) -> None:
    """Seesaw and trade-off."""
    left, right = st.columns(2)
    with left:
        if choice.others:
            frame = choice.labelled(seesaw(choice.comparison(), choice.metric))
            exhibits.chart(
                charts.seesaw_chart(frame, choice.metric, choice.reference, choice.line, widgets.mode()),
                key="seesaw",
                alt="Gain on tail items against gain on head items, a point per configuration.",
                data=frame.drop(columns="label"),
                name="seesaw",
            )
        else:
            st.info("Add a second configuration to see who gains and who pays.")
    with right:
        frame = trade_off(choice)
        exhibits.chart(
            charts.trade_off_chart(frame, choice.metric, f"APLT@{choice.k}", choice.line, widgets.mode()),
            key="tradeoff",
            alt="Accuracy against the share of tail items in the lists, a point per configuration.",
            data=frame.drop(columns="label"),
            name="trade-off",
        )


def trade_off(choice: Choice) -> pd.DataFrame:
    """Accuracy with its interval, exposure, and who is on the frontier."""
    summary = choice.summary()
    table = pd.concat([summary, choice.beyond()], ignore_index=True)
    points = frontier(table, accuracy=choice.metric, exposure=f"APLT@{choice.k}")
    bounds = summary.loc[summary["group"] == "Overall", ["run", "low", "high"]]
    return choice.labelled(points.merge(bounds, on="run"))


def lists(choice: Choice) -> None:
    """What the recommended lists are like."""
    table = choice.beyond()
    exhibits.chart(
        charts.beyond_chart(beyond_frame(table), choice.line, widgets.mode()),
        key="beyond",
        alt="Coverage, Gini, popularity, tail share, novelty and diversity of the lists of each configuration.",
        data=table.pivot_table(index=["run", "group"], columns="metric", values="value", sort=False).reset_index(),
        name="beyond-accuracy",
    )
    if choice.others:
        box = st.expander("How alike are the lists of two configurations?", key="overlap.box", on_change="rerun")
        if box.open:
            with box:
                _alike(choice)


def _alike(choice: Choice) -> None:
    st.caption(f"Items shared by both top-{choice.k} lists of a user, divided by the items of either. 1: equal.")
    tops = {c.name: artifacts.top_items(choice.root, c.ids[0]) for c in choice.chosen}
    square = overlap(tops, k=choice.k).pivot(index="run", columns="other", values="jaccard")
    square = square.loc[list(tops), list(tops)].round(3)
    exhibits.table(square.reset_index(), key="overlap", name="overlap")


def users(choice: Choice) -> None:
    """Who gained and who lost most, one by one."""
    if not choice.others:
        st.info("Add a second configuration to see which users it helps.")
        return
    left, right = st.columns(2)
    with left:
        after = str(links.choose("With", choice.others, "with", default=choice.others[-1]))
    with right:
        group = pickers.pick_group("Among", "among")
    comparison = choice.comparison()
    shares = outcomes(comparison[comparison["run"] == after])
    line = f"{choice.line} Gained: {choice.metric} rose."
    exhibits.chart(
        charts.outcome_chart(shares, after, choice.reference, line, widgets.mode()),
        key="outcomes",
        alt=f"Share of users who gained, saw no change or lost with {after} over {choice.reference}.",
        data=shares,
        name="gained-and-lost",
    )
    moved = drill_down(choice.movers(after), choice.dataset, choice.thresholds, group)
    for column, title, rows in zip(
        st.columns(2),
        ("Gained most", "Lost most"),
        (moved[moved["gain"] > 0].head(100), moved[moved["gain"] < 0].iloc[::-1].head(100)),
        strict=True,
    ):
        with column:
            _user_table(title, rows)
    exhibits.download_csv(moved, "users-gained-and-lost", key="movers", label="Download all users as CSV")


def _user_table(title: str, rows: pd.DataFrame) -> None:
    st.markdown(f"**{title}**: {len(rows)} users shown")
    key = title.split()[0].lower()
    picked = exhibits.table(
        rows,
        key=f"movers.{key}",
        name=key,
        download=False,
        height=320,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "gain": st.column_config.NumberColumn(format="%+.3f"),
            "rank before": st.column_config.NumberColumn(format="%.0f"),
            "rank after": st.column_config.NumberColumn(format="%.0f"),
        },
    )
    at = picked.selection.rows if picked else []
    if at and at[0] < len(rows):
        user = str(rows.iloc[at[0]]["user"])
        links.link(links.NEIGHBOURS, f"Open {as_text(user, 60)} on Neighbours", user=user)
    else:
        st.caption("Select a row to open that user's neighbours.")


def report_button(choice: Choice) -> None:
    """The whole comparison as one HTML file, written when it is asked for."""
    st.download_button(
        "Download the report (HTML)",
        data=lambda: _report(choice).encode(),
        file_name=f"{slug(choice.dataset.name)}-comparison.html",
        mime="text/html",
        key="report",
        icon=":material/description:",
        on_click="ignore",
        help="One file with every chart (interactive, opens offline), table, test, definition and where it comes from.",
    )


def _story(choice: Choice) -> list[StoryStep]:
    """Told by every run of the dataset: what is compared may lack the plain recommender."""
    told = material(
        choice.root,
        choice.dataset,
        thresholds=choice.thresholds,
        metric=f"HR@{choice.k}",
        protocol=choice.protocol,
    )
    return [step(told) for step in STEPS]


def _report(choice: Choice) -> str:
    comparison = choice.comparison() if choice.others else None
    used = {p.id for c in choice.chosen for m in c.manifests for p in m.parents if p.kind == "embeddings"}
    found = Findings(
        metric=choice.metric,
        k=choice.k,
        protocol=choice.protocol,
        thresholds=choice.thresholds,
        reference=choice.reference,
        summary=choice.summary(),
        popularity=choice.curves("popularity"),
        length=choice.curves("length"),
        trade_off=trade_off(choice),
        beyond=choice.beyond(),
        every=choice.every_metric(),
        comparison=comparison,
        verdicts=choice.judged() if choice.others else (),
        findings=choice.findings(),
        seesaw=None if comparison is None else choice.labelled(seesaw(comparison, choice.metric)),
        story=sections(_story(choice)),
    )
    embeddings = [m for m in artifacts.manifests(choice.root, "embeddings") if m.id in used]
    return comparison_report(choice.dataset, choice.chosen, found, embeddings)
