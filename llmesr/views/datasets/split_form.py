"""What a new dataset holds out: each user's last items, or everything after a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from llmesr.config import SplitConfig
from llmesr.views.shared import forms


def chosen_split() -> dict[str, Any]:
    """``{"split": {...}}`` of what differs from the usual split, else nothing. UserError when a cut is none."""
    schema = forms.settings(SplitConfig)
    kind = replace(schema.pop("kind"), name="split")
    given = {"kind": forms.setting_widget(kind, kind.default, "ingest.split", linked=True)}
    if given["kind"] == kind.default:
        return {}
    for (name, setting), column in zip(schema.items(), st.columns(len(schema)), strict=True):
        with column:
            given[name] = forms.setting_widget(setting, setting.default, f"ingest.split.{name}", linked=True)
    return {"split": SplitConfig.read(None, **given).model_dump(exclude_defaults=True)}
