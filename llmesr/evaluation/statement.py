"""A claim on one page: a self-contained HTML file that opens offline and is ready to be printed or pasted."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import quote, urlencode

from llmesr.config import EVERY_GROUP
from llmesr.data.dataset import split_of
from llmesr.evaluation.claim import Claim
from llmesr.evaluation.contenders import Contender
from llmesr.evaluation.doubts import Doubt
from llmesr.evaluation.verdict import Answer
from llmesr.prose import counted, signed
from llmesr.store import MANIFEST, Store, file_digest, provenance

_WIDTH, _ROW, _LEFT, _RIGHT = 640, 30, 110, 190
_OUTCOMES = {
    "better": "better",
    "worse": "worse",
    "same": "no clear difference",
    "equal": "exactly the same",
    "few": "too little data",
}


def statement(claim: Claim, command: str) -> str:
    """The page. ``command`` makes it again."""
    c = claim.comparison
    where = f"{c.metrics[0]}, {c.protocol} ranking, {c.part} part. {claim.split} {c.thresholds.describe()}"
    parts = [
        f'<p class="{"claim" if claim.stands else "doubt"}"><b>{claim.standing}.</b> {escape(claim.sentence)}</p>',
        f"<p>{escape(where)}</p>",
        _forest(claim.verdict.answers),
        "<h2>What it was tested against</h2>",
        _table(
            ["best of its kind on validation", "seeds", "lead overall", "95%", "p", ""],
            [[r.name, str(len(r.seeds)), *_cells(a, d)] for r, a, d in claim.tested_against],
        ),
        f"<p>Under {claim.elsewhere.protocol}: {escape(claim.elsewhere.verdicts[0].sentence())}</p>",
        *_in_time(claim),
        f"<h2>{'What would overturn it' if claim.stands else 'What stands against it'}</h2>",
        _bullets(claim.overturned_by),
        "<h2>What it rests on</h2>",
        _bullets(_basis(claim)),
        _table(["run", "seed", "made", "manifest (SHA-256)"], _runs(c.store, [claim.run, claim.baseline])),
        f"<p>Make it again:</p><pre>{escape(command)}</pre>",
        f"<p>In the app, below its address:</p><pre>{escape(_address(claim))}</pre>",
    ]
    return _PAGE.format(title=escape(claim.title), body="\n".join(parts))


def _address(claim: Claim) -> str:
    """Where the app shows this claim: the two sides, the metric, the protocol and the definition of the tail."""
    c, (metric, _, k) = claim.comparison, claim.metric.partition("@")
    sides = [("compare", claim.baseline.name), ("compare", claim.run.name), ("against", claim.baseline.name)]
    asked = {"claim": claim.run.name, "metric": metric, "k": k, "protocol": c.protocol}
    asked |= {"tail_item": str(c.thresholds.item), "tail_user": str(c.thresholds.user)}
    return "/compare?" + urlencode(
        [("dataset", claim.run.runs[0].dataset_id), ("view", "defend"), *sides, *asked.items()],
        safe="/@",
        quote_via=quote,
    )


def _in_time(claim: Claim) -> list[str]:
    """The same two under a temporal split, where they were trained there; nothing else of it is known."""
    if claim.in_time is None or claim.in_time.comparison is None:
        return []
    there, id = claim.in_time.comparison, str(claim.in_time.dataset)
    runs = " and ".join(counted(len(c.runs), "run") for c in (there.chosen[1], there.chosen[0]))
    split = split_of(there.store.manifest("datasets", id)).describe()
    said = f"Under a temporal split ({id}, {runs}): {there.verdicts[0].sentence()} {split}"
    return [f"<p>{escape(said)}</p>", _forest(there.verdicts[0].answers)]


def _basis(claim: Claim) -> list[str]:
    c, here = claim.comparison, provenance()
    tests = len(c.tests)
    dataset = claim.run.runs[0].dataset_id
    users = max(a.users for a in claim.verdict.answers)
    return [
        f"Dataset {dataset}, {users:,} users judged, manifest {_digest(c.store, 'datasets', dataset)[:16]}.",
        "Intervals are 95%, over users and seeds (BCa bootstrap over users, widened by the variance between seeds). "
        "p is the larger of a paired permutation test over users and a t-test over users and seeds, corrected for "
        f"{tests} tests by Benjamini-Hochberg.",
        f"Written {here['created'][:16].replace('T', ' ')} UTC with "
        f"{', '.join(f'{name} {version}' for name, version in here['versions'].items())}; "
        f"commit {here['git_commit'] or 'unknown'}.",
    ]


def _runs(store: Store, sides: Sequence[Contender]) -> list[list[str]]:
    return [
        [m.id, str(m.seed), m.created[:16].replace("T", " "), _digest(store, "runs", m.id)]
        for side in sides
        for m in side.manifests
    ]


def _digest(store: Store, kind: str, id: str) -> str:
    return file_digest(store.path(kind, id) / MANIFEST)


def _cells(a: Answer, doubts: Sequence[Doubt]) -> list[str]:
    word = {"better": "ahead", "worse": "behind"}.get(a.outcome) if doubts else None
    said = f"{word}, but not settled: {'; '.join(d.short for d in doubts)}" if word else _OUTCOMES[a.outcome]
    return [signed(a.difference), f"{signed(a.low)} to {signed(a.high)}", a.p_text, said]


def _forest(answers: Sequence[Answer]) -> str:
    """Difference and interval by group, drawn and written."""
    shown = [a for a in answers if a.users and a.group in EVERY_GROUP]
    ends = [0.0, *(e for a in shown for e in (a.low, a.high) if a.outcome != "few")]
    low, high = min(ends), max(ends)
    scale = (_WIDTH - _LEFT - _RIGHT) / ((high - low) or 1.0)
    marks = []
    for row, a in enumerate(shown):
        y = _ROW * row + 18
        marks.append(f'<text x="0" y="{y + 4}">{escape(a.group)}</text>')
        if a.outcome == "few":  # an interval of a handful of users would set the scale for all
            said = f"too little data ({counted(a.users, 'user')})"
            marks.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 4}" class="few">{said}</text>')
            continue
        x, left, right = (_LEFT + (v - low) * scale for v in (a.difference, a.low, a.high))
        clear = a.outcome in ("better", "worse")
        marks.append(
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y}" y2="{y}" class="{"clear" if clear else "open"}"/>'
            f'<circle cx="{x:.1f}" cy="{y}" r="5" class="{"clear" if clear else "open"}"/>'
            f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 4}">{signed(a.difference)}, {escape(a.p_text)}</text>'
        )
    zero, height = _LEFT - low * scale, _ROW * len(shown) + 8
    axis = f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="4" y2="{height - 4}" class="zero"/>'
    said = "; ".join(f"{a.group} {signed(a.difference)} ({signed(a.low)} to {signed(a.high)})" for a in shown)
    label = escape(f"Difference by group with 95% intervals: {said}", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{label}">{axis}{"".join(marks)}</svg>'


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>Nothing else has been evaluated on this dataset.</p>"
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _bullets(items: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>
body {{font: 15px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430;
  background: #fff}}
h1 {{font-size: 1.5rem; margin-bottom: .5rem}} h2 {{font-size: 1.05rem; margin: 1.3rem 0 .4rem}}
.claim, .doubt {{font-size: 1.15rem; border-left: 5px solid #2a7f62; padding: .5rem .9rem; background: #eef6f2}}
.doubt {{border-color: #c77700; background: #fff4e0}}
.wide {{overflow-x: auto}} table {{border-collapse: collapse; font-size: .88rem; min-width: 34rem}}
th, td {{text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid #dde2e8; vertical-align: top}}
th, td:not(:last-child) {{white-space: nowrap}} td:last-child {{overflow-wrap: anywhere; min-width: 11rem}}
svg {{width: 100%; max-width: 42rem}} svg text {{font: 13px system-ui, sans-serif; fill: #1c2430}}
.zero {{stroke: #8894a3; stroke-dasharray: 3 3}} line.clear {{stroke: #0b6aa2; stroke-width: 3}}
line.open {{stroke: #8894a3; stroke-width: 3}} circle.clear {{fill: #0b6aa2}}
circle.open {{fill: #fff; stroke: #8894a3; stroke-width: 2}}
pre {{background: #f3f5f8; padding: .6rem; overflow-wrap: anywhere; white-space: pre-wrap}}
h1, p, li {{overflow-wrap: anywhere}} svg text.few {{fill: #5a6675}}
@media screen and (prefers-color-scheme: dark) {{
  body {{color: #e4e8ee; background: #12161c}} svg text {{fill: #e4e8ee}} svg text.few {{fill: #a3aebb}}
  .claim {{background: #15291f}} .doubt {{background: #33260f}} th, td {{border-color: #333c48}}
  pre {{background: #1c232c}} line.clear {{stroke: #5bb0e0}}
  circle.clear {{fill: #5bb0e0}} circle.open {{fill: #12161c}}
}}
@page {{margin: 9mm}}
@media print {{
  body {{margin: 0 auto; padding: 0; font-size: 10px}} h1 {{font-size: 15px; margin-top: 0}}
  h2 {{font-size: 11px; margin: .5rem 0 .1rem}} .claim, .doubt {{font-size: 11px}} p {{margin: .3rem 0}}
  table {{font-size: 9px; min-width: 0}} svg {{max-width: 19rem}} ul {{margin: .1rem 0}}
  pre {{margin: .2rem 0; padding: .3rem}}
}}
</style></head><body><h1>{title}</h1>
{body}
</body></html>
"""
