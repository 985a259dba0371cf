"""What the app says: what each metric, group and protocol means, and how untrusted text is shown as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from llmesr.config import SplitConfig
from llmesr.data.groups import Thresholds

METRICS: dict[str, str] = {
    "HR": "Hit rate: the share of users whose held-out item is among the first K recommendations. 0 to 1, higher "
    "is better.",
    "NDCG": "Like the hit rate, but a hit counts less the further down it stands: 1 at the top, 0.63 in second place, "
    "0.29 in tenth. 0 to 1, higher is better.",
    "MRR": "One divided by the rank of the held-out item, 0 beyond the first K. 0 to 1, higher is better.",
    "Recall": "The share of a user's held-out items that are among the first K, where there can be several. 0 to 1, "
    "higher is better.",
    "Coverage": "The share of all items that are recommended to anyone. 0 to 1, higher means more of the catalogue "
    "is seen.",
    "Gini": "How unevenly recommendations fall on items: 0 when all items are shown alike, 1 when one item gets "
    "everything. Lower is fairer.",
    "ARP": "Average recommendation popularity: training interactions of a recommended item, on average. Lower means "
    "less popular items.",
    "APLT": "The share of tail items in a recommendation list, averaged over users. Higher means more of the "
    "tail is shown.",
    "Novelty": "How surprising recommended items are by their popularity, in bits. Higher means rarer items.",
    "ILD": "Intra-list diversity: how different the items of one list are, by their text. 0 to 1, higher is more "
    "varied.",
}
"""Name before the ``@`` -> a sentence for people who do not know it."""

PROTOCOLS: dict[str, str] = {
    "full": "The held-out item competes with every item the user has not chosen. Strict, and the default.",
    "uni100": "The held-out item competes with 100 random items outside the user's history, as in the papers. "
    "Numbers are much higher than under full ranking and must never be compared with them.",
}

PROTOCOL_NAMES: dict[str, str] = {"full": "Full ranking", "uni100": "uni100"}

METHODS: dict[str, str] = {
    "popularity": "The most popular items, the same for everyone. The floor to beat.",
    "semantic-knn": "Items whose text is closest to the user's history. No training.",
    "item-knn": "Items chosen by the same users as those of the history. Counts alone, a strong classic.",
    "markov": "What usually follows the items of the history. Counts alone.",
    "ease": "How much each item speaks for every other, solved at once from who chose what (EASE, 2019).",
    "text-ease": "EASE with item text: items that read alike support one another. Solved at once.",
    "ials": "Users and items as factors, fitted by alternating least squares (iALS, 2008).",
    "id": "A classic sequence model that sees only item IDs, and so has little to go by in the tail.",
    "llm-init": "A sequence model whose item vectors start from text and are then learned. A strong simple baseline.",
    "adapter": "A sequence model on frozen text vectors, passed through a small adapter.",
    "llm-esr": "Text and behaviour side by side, taught by similar users (LLM-ESR, 2024).",
    "llmemb": "Adapted text vectors, aligned with behaviour (LLMEmb, 2025).",
    "codes": "Item vectors made of a few codes that items with similar text share (Mixture-of-Codes, 2024).",
    "generative": "Writes the next item as a sequence of codes made from its text (TIGER, TTDS).",
    "language": "A text model that reads the history itself, item by item (Laser, DARec, 2024).",
}

METHODS_IN_SHORT: dict[str, str] = {
    "popularity": "the same for everyone",
    "semantic-knn": "text alone",
    "item-knn": "behaviour, neighbours",
    "markov": "what follows",
    "ease": "behaviour, linear",
    "text-ease": "text and behaviour, linear",
    "ials": "behaviour, factors",
    "id": "behaviour alone",
    "llm-init": "starts from text",
    "adapter": "text, adapted",
    "llm-esr": "text and behaviour",
    "llmemb": "text, tuned and aligned",
    "codes": "codes shared by text",
    "generative": "writes codes of the text",
    "language": "text model reads histories",
}
"""What a method knows, for a label under its name."""

BACKBONES: dict[str, str] = {
    "sasrec": "SASRec: attention to the past. The default.",
    "bert4rec": "BERT4Rec: attention in both directions, trained on masked items. Slower to train.",
    "gru4rec": "GRU4Rec: a recurrent network. Light.",
}

JUDGED = (
    "**Better**, **worse**: a test tells the two apart, corrected for all that is shown. **Ahead**, **behind**: the "
    "same, while something serious stands against the comparison; it is said beside it."
)
COUNTED = "Popularity and history length are counted on the training part only."

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:@&])")
_INVISIBLE = re.compile(r"[\u0000-\u0008\u000b-\u001f\u007f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_REWRITTEN = re.compile(
    r"""
    :(?=[\w/+-]+:)                                  # :smile:, :streamlit:, :material/home:
    | (?<=http)s?:(?=//) | www(?=\.)                # addresses become links
    | @(?=[-\w]+\.)                                 # e-mail addresses too
    | (?<!\S)[<>~-](?=(?:->|-|=|>)(?!\S))          # <-> -> <- -- >= <= ~= standing alone become one sign
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What Streamlit rewrites in text that Markdown has left alone: a backslash does not stop it."""
_P = re.compile(r"\bp ([<=≤]) (?=[.\d])")
"""What stands on one line: a p-value."""
_JOINER = "\u2060"
"""Takes no room, and breaks a pattern in two."""


def one_line(text: object, longest: int = 300) -> str:
    """``text`` on one line, cut to ``longest`` characters.

    Control characters and direction overrides become a visible mark, so that they cannot disguise anything.
    """
    line = " ".join(_INVISIBLE.sub("\ufffd", str(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def as_text(text: object, longest: int = 300) -> str:
    """``text`` so that Streamlit's Markdown shows it as it is: one line, escaped, no icon, link or arrow made of it."""
    whole = _P.sub("p\u00a0\\1\u00a0", one_line(text, longest))
    broken = _REWRITTEN.sub(lambda found: found[0] + _JOINER, whole)
    return _MARKDOWN.sub(r"\\\1", broken)


def capitalised(sentence: str) -> str:
    """The sentence with a capital at its beginning; the rest stays as it is."""
    return f"{sentence[:1].upper()}{sentence[1:]}"


def metric_meaning(metric: str) -> str:
    """The sentence for ``HR@10`` with its K filled in; empty for an unknown metric."""
    name, _, k = metric.partition("@")
    sentence = METRICS.get(name, "")
    return re.sub(r"\bK\b", k, sentence) if k else sentence


def split_line(split: SplitConfig) -> str:
    """What is held out, and where popularity and length are counted."""
    return f"{split.describe()} {COUNTED}"


def protocol_line(protocol: str, thresholds: Thresholds, split: SplitConfig, part: str = "test") -> str:
    """What stands beside every number: part, split, protocol and the head/tail definition."""
    ranking = {"full": "full ranking over all items", "uni100": "against 100 random items (uni100)"}[protocol]
    held_out = {"test": "Held-out test items", "valid": "Validation items"}[part]
    return f"{held_out} ({split.brief(part)}), {ranking}. {thresholds.describe()}"


def between(setting: str, given: Any) -> str:
    """A setting of a search and what it varies between, as read by a person."""
    span = f"{given['low']:g} to {given['high']:g}" if isinstance(given, Mapping) else ", ".join(map(str, given))
    return f"{setting.replace('_', ' ')} ({span})"
