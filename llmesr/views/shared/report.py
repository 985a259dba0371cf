"""One self-contained HTML file: sections of text, interactive charts and tables, provenance and definitions.

The file opens offline: plotly.js is inlined once, and a content security policy forbids every request. All text is
escaped; charts travel as JSON inside ``<script type="application/json">`` in which ``<`` never occurs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from llmesr.prose import MINUS
from llmesr.views.shared.theme import SURFACE, Mode, plotly_config, template

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
MISSING = "–"
MODES: tuple[Mode, ...] = ("light", "dark")
PAGE, LONGEST_CELL = 100, 30
"""Letters that a printed page is wide, and of a cell that are not to be broken."""


@dataclass(frozen=True)
class Section:
    """A part of a report; everything but the title may be absent. ``chart`` draws itself in light and in dark."""

    title: str
    paragraphs: Sequence[str] = ()
    chart: Callable[[Mode], go.Figure] | None = None
    alt: str = ""
    table: pd.DataFrame | None = None
    caption: str = ""
    level: int = 2


def html_report(
    title: str,
    lead: Sequence[str],
    sections: Sequence[Section],
    *,
    provenance: Mapping[str, Any],
    definitions: Mapping[str, str],
) -> str:
    """The report as one HTML document.

    ``lead`` are the sentences under the title, ``provenance`` may nest mappings and lists, ``definitions`` is
    term -> sentence.
    """
    body = "\n".join(_section(s, i) for i, s in enumerate(sections))
    return _PAGE.format(
        policy=escape(POLICY),
        title=escape(_clean(title)),
        style=_colors() + _STYLE,
        lead="".join(f"<p class=lead>{escape(_clean(s))}</p>" for s in lead),
        body=body,
        definitions="".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in definitions.items()),
        provenance=_tree(provenance),
        plotly=get_plotlyjs() if any(s.chart is not None for s in sections) else "",
        templates=embedded_json({mode: template(mode).to_plotly_json() for mode in MODES}),
        config=embedded_json(plotly_config()),
        script=_SCRIPT,
    )


def embedded_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, nor be read as markup."""
    text: str = pio.json.to_json_plotly(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def html_table(frame: pd.DataFrame) -> str:
    """An escaped HTML table; numbers to the right, four digits, a dash for what is missing.

    Words that are the same in every row are said once, above it; one that is wider than a page stands in parts, each
    with what names the rows, so that no number is broken."""
    same = [c for c in range(frame.shape[1]) if _same(frame.iloc[:, c])]
    said = "; ".join(f"{frame.columns[c]}: {frame.iloc[0, c]}" for c in same)
    rest = frame.iloc[:, [c for c in range(frame.shape[1]) if c not in same]]
    rare = [c for c in range(1, rest.shape[1]) if _rare(rest.iloc[:, c])]
    naming = rest.iloc[:, : _naming(rest)]
    notes = [
        f"{', '.join(map(str, naming.iloc[row]))}: {rest.iloc[row, c]}"
        for c in rare
        for row in range(len(rest))
        if rest.iloc[row, c]
    ]
    shown = rest.iloc[:, [c for c in range(rest.shape[1]) if c not in rare]]
    above, *below = [f"<p class=caption>{escape(_clean(line))}</p>" if line else "" for line in (said, *notes)]
    return above + "".join(_table(part) for part in _parts(shown)) + "".join(below)


def _same(column: pd.Series) -> bool:
    """Whether a column says the same in words in every one of several rows."""
    values = column.tolist()
    return len(values) > 1 and all(isinstance(v, str) and v and v == values[0] for v in values)


def _rare(column: pd.Series) -> bool:
    """Whether few of several rows have a word in it: notes, which stand below the table."""
    values = column.tolist()
    return len(values) > 2 and all(isinstance(v, str) for v in values) and 2 * sum(map(bool, values)) < len(values)


def _naming(frame: pd.DataFrame) -> int:
    """How many columns, before the first with a number, name the rows; the first where all are words."""
    return next(
        (c for c in range(frame.shape[1]) if any(_numeric(v) for v in frame.iloc[:, c])), min(frame.shape[1], 1)
    )


def _parts(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The frame cut into as many frames side by side as a page is too narrow for it."""
    written = [[_written(v) for v in frame.iloc[:, c]] for c in range(frame.shape[1])]
    wide = [
        3 + max([len(w) for w in str(name).split()] + [min(len(t), LONGEST_CELL) for t in texts], default=0)
        for name, texts in zip(frame.columns, written, strict=True)
    ]
    naming = _naming(frame)
    parts: list[list[int]] = [[]]
    for column in range(naming, frame.shape[1]):
        if parts[-1] and sum(wide[:naming]) + sum(wide[c] for c in [*parts[-1], column]) > PAGE:
            parts.append([])
        parts[-1].append(column)
    return [frame.iloc[:, [*range(naming), *part]] for part in parts]


def _table(frame: pd.DataFrame) -> str:
    numbers = [len(frame) > 0 and all(_numeric(v) for v in frame.iloc[:, c]) for c in range(frame.shape[1])]
    head = "".join(
        f"<th scope=col{' class=n' if right else ''}>{escape(_clean(c))}</th>"
        for c, right in zip(frame.columns, numbers, strict=True)
    )
    rows = []
    for record in frame.itertuples(index=False):
        cells = "".join(
            f"<td class=n>{escape(number(v))}</td>" if _numeric(v) else f"<td dir=auto>{escape(_written(v))}</td>"
            for v in record
        )
        rows.append(f"<tr>{cells}</tr>")
    return f"<div class=table><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def number(value: Any) -> str:
    """Counts with thousands separators, measures with four decimals, tiny p-values in words."""
    if value is None or pd.isna(value):
        return MISSING
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if 0 < abs(value) < 0.0001:
        return "<.0001" if value > 0 else f">{MINUS}.0001"
    return f"{MINUS if value < 0 else ''}{abs(float(value)):.4f}"


def _written(value: Any) -> str:
    """A cell as it is read."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    return number(value) if _numeric(value) else _clean(value)


def _numeric(value: Any) -> bool:
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _clean(value: Any) -> str:
    return str(value).replace("\x00", "\ufffd")


def _section(section: Section, index: int) -> str:
    parts = [f"<section><h{section.level} dir=auto>{escape(_clean(section.title))}</h{section.level}>"]
    parts += [f"<p dir=auto>{escape(_clean(p))}</p>" for p in section.paragraphs]
    if section.chart is not None:
        drawn = {mode: section.chart(mode) for mode in MODES}
        height = int(drawn["light"].layout.height or 420)
        # The template is the page's, written once.
        figures = {m: go.Figure(f).update_layout(template=None).to_plotly_json() for m, f in drawn.items()}
        parts.append(
            f'<div class=chart id="chart{index}" role=img aria-label="{escape(_clean(section.alt or section.title))}" '
            f'style="height:{height}px"></div>'
            f'<script type="application/json" data-chart="chart{index}">{embedded_json(figures)}</script>'
        )
    if section.caption:
        parts.append(f"<p class=caption>{escape(_clean(section.caption))}</p>")
    if section.table is not None:
        parts.append(html_table(section.table))
    return "\n".join([*parts, "</section>"])


def _tree(value: Any) -> str:
    if isinstance(value, Mapping):
        rows = "".join(f"<tr><th scope=row>{escape(_clean(k))}</th><td>{_tree(v)}</td></tr>" for k, v in value.items())
        return f"<table class=tree>{rows}</table>"
    if isinstance(value, (list, tuple)):
        return "<ul>" + "".join(f"<li>{_tree(v)}</li>" for v in value) + "</ul>" if value else MISSING
    return f"<span dir=auto>{escape(_clean(MISSING if value is None else _scalar(value)))}</span>"


def _colors() -> str:
    names = {"ink": "text", "soft": "muted", "paper": "background", "line": "border", "band": "panel"}
    return "\n".join(
        f":root[data-mode={m}]{{{''.join(f'--{k}:{SURFACE[m][v]};' for k, v in names.items())}color-scheme:{m}}}"
        for m in MODES
    )


def _scalar(value: Any) -> str:
    """``true`` for True, text as it is."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


_STYLE = """
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1100px;margin:0 auto;padding:2rem 1.25rem 4rem}h1{font-size:2rem;line-height:1.2;margin:0 0 1rem}
h2{font-size:1.35rem;margin:3rem 0 .5rem;border-top:1px solid var(--line);padding-top:1.5rem}h3{margin:2rem 0 .25rem}
p{margin:.4rem 0;max-width:80ch;overflow-wrap:anywhere}.lead{font-size:1.15rem}
.caption{color:var(--soft);font-size:.9rem}h1,h2,h3,dd,.tree td{overflow-wrap:anywhere}td,th{overflow-wrap:break-word}
.chart{width:100%;margin:.5rem 0}.table{overflow-x:auto;max-height:34rem;overflow-y:auto}
table{border-collapse:collapse;font-size:.9rem;margin:.5rem 0}
.table>table{width:100%}
td,th{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
thead th{background:var(--band);position:sticky;top:0}th.n,.n{text-align:right}td.n{white-space:nowrap;
font-variant-numeric:tabular-nums}
.tree th{color:var(--soft);font-weight:500;white-space:nowrap}.tree ul{margin:0;padding-left:1.1rem}
dt{font-weight:600;margin-top:.6rem}dd{margin:0;max-width:80ch}
button{font:inherit;float:right;color:var(--ink);background:var(--band);border:1px solid var(--line);
border-radius:6px;padding:.3rem .8rem;cursor:pointer}button:focus-visible{outline:3px solid var(--ink)}
summary{cursor:pointer}
@media print{button,summary{display:none}
details::details-content{content-visibility:visible;block-size:auto}
section,tr{break-inside:avoid}h2,h3{break-after:avoid}.table{max-height:none;overflow:visible}
.tree,.tree tbody,.tree tr,.tree th,.tree td{display:block;break-inside:auto}
.tree th,.tree td{padding:0 .5rem 0 0;border:0}
.tree th:has(+td>span),.tree td:has(>span){display:inline}.tree .tree{margin:0 0 .3rem 1rem}.tree ul{columns:2}}
"""

_SCRIPT = """
(function(){
const read=id=>JSON.parse(document.getElementById(id).textContent);
const templates=read('templates'),config=read('config');
const charts=[...document.querySelectorAll('script[data-chart]')].map(s=>[s.dataset.chart,JSON.parse(s.textContent)]);
function show(mode){
document.documentElement.dataset.mode=mode;
for(const [id,f] of charts)Plotly.react(id,f[mode].data,{...f[mode].layout,autosize:true,template:templates[mode]},
{...config,responsive:true});
}
const dark=window.matchMedia('(prefers-color-scheme: dark)').matches;
show(dark?'dark':'light');
document.getElementById('mode').onclick=()=>show(document.documentElement.dataset.mode==='dark'?'light':'dark');
})();
"""

_PAGE = """<!doctype html>
<html lang="en" data-mode="light"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
<button id="mode" type="button">Light / dark</button>
<h1 dir="auto">{title}</h1>
{lead}
{body}
<section><h2>Definitions</h2><dl>{definitions}</dl></section>
<section><h2>Provenance</h2><details><summary>What made these numbers</summary>{provenance}</details></section>
</main>
<script type="application/json" id="templates">{templates}</script>
<script type="application/json" id="config">{config}</script>
<script>{plotly}</script>
<script>{script}</script>
</body></html>
"""
