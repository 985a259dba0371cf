"""Item attributes and user histories as sentences for a language model.

The wording is LLM-ESR's ("The beauty item has the following attributes: name is ...; brand is ..."). Attributes
are separated by ";", which is therefore replaced inside values, so that fine-tuning can shuffle and drop them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from llmesr.data.markup import unmarked
from llmesr.errors import UserError

TEMPLATES: dict[str, str] = {
    "default": "The item has the following attributes: {attributes}.",
    "beauty": "The beauty item has the following attributes: {attributes}.",
    "fashion": "The fashion item has the following attributes: {attributes}.",
    "yelp": "The point of interest has the following attributes: {attributes}.",
    "movies": "The movie has the following attributes: {attributes}.",
    "office": "The office product has the following attributes: {attributes}.",
}
"""Item prompts by domain. A template of one's own is any text with ``{attributes}`` or ``{column}`` in it."""

USER_TEMPLATE = "The user has visited the following items: {titles}. Please conclude the user's preference."
USER_CHARACTERS = 8_000
"""Most characters of titles in a history prompt, whatever an embedder reads."""
SCFT_CHARACTERS = 100
"""Characters kept of each attribute value when a model is fine-tuned (LLMEmb)."""

_NAMES = {"title": "name"}  # the paper says "name is ..."
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def clean(value: str, max_chars: int | None = None) -> str:
    """``value`` on one line without markup and without the separator ";", cut at a word near ``max_chars``."""
    value = " ".join(unmarked(value).replace(";", ",").split()).strip(" .,")
    if max_chars is None or len(value) <= max_chars:
        return value
    cut = value[:max_chars]
    space = cut.rfind(" ")
    return (cut[:space] if space > max_chars // 2 else cut).strip(" .,")


def resolve_template(template: str) -> str:
    """A domain's template, or the text itself when it has a placeholder. UserError otherwise."""
    if template in TEMPLATES:
        return TEMPLATES[template]
    if _PLACEHOLDER.search(template):
        return template
    raise UserError(
        f"Template {template!r} is neither a known one ({', '.join(TEMPLATES)}) nor a text with {{attributes}} in it."
    )


def resolve_attributes(catalogue: pd.DataFrame, attributes: Sequence[str] | None) -> list[str]:
    """The item columns to use, in order; all but the id when None. UserError names an unknown one."""
    known = [c for c in catalogue.columns if c != "item_id"]
    if attributes is None:
        return known
    if unknown := [a for a in attributes if a not in known]:
        raise UserError(f"The items have no attribute {unknown[0]!r}. Known: {', '.join(known) or 'none'}.")
    if not attributes:
        raise UserError("The list of attributes is empty; name at least one, or leave it out to use all.")
    return list(attributes)


def titled(catalogue: pd.DataFrame) -> np.ndarray:
    """(N,) bool: whose title is one. That of an item without any is its id."""
    return np.asarray(catalogue["title"].to_numpy(object) != catalogue["item_id"].to_numpy(object))


def attribute_lists(
    catalogue: pd.DataFrame, attributes: Sequence[str] | None = None, *, max_chars: int | None = SCFT_CHARACTERS
) -> list[list[str]]:
    """N lists of ``"name is ..."``, without empty values; row i is item i + 1.

    A title that only repeats the item's id is no text and is left out.
    """
    columns = resolve_attributes(catalogue, attributes)
    ids = catalogue["item_id"].tolist()
    rows: list[list[str]] = [[] for _ in ids]
    for column in columns:
        label = _NAMES.get(column, column.replace("_", " "))
        for row, item_id, value in zip(rows, ids, catalogue[column].tolist(), strict=True):
            text = clean(value, max_chars)
            if text and not (column == "title" and value == item_id):
                row.append(f"{label} is {text}")
    return rows


def fill(attributes: Sequence[str], template: str = "default", values: dict[str, str] | None = None) -> str:
    """One item prompt; ``values`` serve placeholders other than ``{attributes}``. Braces in values stay as they are."""
    values = {**(values or {}), "attributes": "; ".join(attributes)}

    def replace(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UserError(f"Template placeholder {match[0]!r} is not known. Known: {', '.join(sorted(values))}.")
        return values[match[1]]

    return _PLACEHOLDER.sub(replace, resolve_template(template))


def item_prompts(
    catalogue: pd.DataFrame,
    template: str = "default",
    attributes: Sequence[str] | None = None,
    *,
    max_chars: int | None = None,
    extra: Sequence[str] | None = None,
) -> list[str]:
    """N prompts, row i for item i + 1; "" for an item without any text.

    ``max_chars`` cuts each value; ``extra`` (N texts, such as reviews) is added as a last attribute.
    """
    resolve_template(template)
    lists = attribute_lists(catalogue, attributes, max_chars=max_chars)
    if extra is not None:
        for row, text in zip(lists, extra, strict=True):
            row += [f"reviews say {text}"] if text else []
    columns = resolve_attributes(catalogue, None)
    used = [c for c in columns if f"{{{c}}}" in resolve_template(template)]
    shown = catalogue.assign(title=catalogue["title"].where(titled(catalogue), "")) if "title" in used else catalogue
    cells = [{c: clean(v, max_chars) for c, v in zip(used, row, strict=True)} for row in _rows(shown, used)]
    return [fill(row, template, values) if row else "" for row, values in zip(lists, cells, strict=True)]


def _rows(catalogue: pd.DataFrame, columns: list[str]) -> list[tuple[str, ...]]:
    if not columns:
        return [()] * len(catalogue)
    return list(zip(*(catalogue[c].tolist() for c in columns), strict=True))


def augment(attributes: Sequence[str], ratio: float, rng: np.random.Generator, template: str = "default") -> str:
    """A prompt with the attributes shuffled and a share ``ratio`` of them dropped, at least one kept (SCFT)."""
    if not attributes:
        return ""
    keep = max(1, len(attributes) - int(len(attributes) * ratio + 1e-9))
    chosen = rng.permutation(len(attributes))[:keep]
    return fill([attributes[i] for i in chosen], template)


def user_prompt(titles: Sequence[str]) -> str:
    """The history prompt of a user from clean titles, oldest first; "" without titles."""
    return USER_TEMPLATE.replace("{titles}", "; ".join(titles)) if titles else ""
