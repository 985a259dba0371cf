"""From files of interactions and items to a dataset."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from llmesr.config.base import Config, Seed

SplitKind = Literal["leave-one-out", "temporal"]


class SplitConfig(Config):
    """What training may see and what is held out. All but the kind and the refit are for temporal splits."""

    kind: SplitKind = Field(
        "leave-one-out",
        description="leave-one-out: each user's last item is the test target, the one before it validation, as in the "
        "papers. temporal: train before one time, validate up to another, test from there on; needs real times.",
    )
    valid_from: float | str = Field(
        0.8, description="Where training ends and validation begins: a share, or a date such as 2024-03-01."
    )
    test_from: float | str = Field(
        0.9, description="Where validation ends and the test begins: a share, or a date such as 2024-04-01."
    )
    share_of: Literal["interactions", "time"] = Field(
        "interactions", description="Of what a cut given as a share is a share: of all interactions, or of the time."
    )
    targets: Literal["first", "all"] = Field(
        "first", description="What is to be found of a user after a cut: the first choice, or all of them."
    )
    refit: bool = Field(
        False,
        description="Train again on training and validation together once validation has chosen (the epoch, the "
        "fallback, a policy), so that the tested model knows everything up to the test.",
    )

    @field_validator("valid_from", "test_from", mode="before")
    @classmethod
    def _cut(cls, value: Any) -> float | str:
        """A share stays a number; a date is kept as written, or as ISO where YAML has read it as one."""
        if isinstance(value, (datetime, date)):
            value = value.isoformat()
        try:
            share = float(value)
        except (TypeError, ValueError):
            unix_seconds(str(value))
            return str(value)
        if not 0 < share < 1:
            raise ValueError("give a share between 0 and 1, or a date such as 2024-03-01")
        return share

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the refit where there is none: ids of datasets are digests of this, and some are older than it."""
        values: dict[str, Any] = write(self)
        return values if self.refit else {name: value for name, value in values.items() if name != "refit"}

    def describe(self) -> str:
        """The split in a sentence, to stand beside every number."""
        if self.kind == "leave-one-out":
            return (
                "Leave-one-out: each user's last item is the test target, the one before it validation." + self._again
            )
        found = "the first item chosen" if self.targets == "first" else "all items chosen"
        return (
            f"Temporal split: trained before {self.valid_from}, validated from there, tested from {self.test_from} on; "
            f"targets are {found} after a cut." + self._again
        )

    @property
    def _again(self) -> str:
        return " Tested models were trained again on training and validation together." if self.refit else ""

    def brief(self, part: str = "test") -> str:
        """The split in a few words, for a caption."""
        if self.kind == "leave-one-out":
            return "leave-one-out" + (", refit" if self.refit else "")
        when = f"from {self.test_from} on" if part == "test" else f"{self.valid_from} to {self.test_from}"
        return (
            f"temporal split, {when}"
            + (", all targets" if self.targets == "all" else "")
            + (", refit" if self.refit else "")
        )


def unix_seconds(text: str) -> int:
    """An ISO date or time (UTC unless it says otherwise) as seconds since 1970. ValueError for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a share nor a date such as 2024-03-01") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class IngestConfig(Config):
    """From files of interactions and items to a dataset."""

    name: str = Field(min_length=1, max_length=200, description="Name of the dataset.")
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="Field -> column: user_id, item_id, timestamp, weight (interactions); guessed when absent.",
    )
    item_columns: dict[str, str] = Field(
        default_factory=dict,
        description="item_id and title of the item file, and attributes by name: brand=manufacturer takes a column in "
        "that would be left out, brand= leaves one out.",
    )
    user_columns: dict[str, str] = Field(
        default_factory=dict,
        description="user_id of the file of users, and attributes by name: age=years renames one, age= leaves it out.",
    )
    time_format: str | None = Field(
        None,
        description="How times are written: s, ms, us or ns (unix time), excel, order, iso, or a pattern such as "
        "%d.%m.%Y %H:%M; guessed when empty.",
    )
    encoding: str | None = Field(
        None, description="Encoding of text files, such as cp1251 or gbk; UTF-8 or UTF-16 when empty."
    )
    delimiter: str | None = Field(
        None, description="What separates the columns: a character, or tab, space, comma; guessed when empty."
    )
    quote: str | None = Field(
        None, description="The quotation mark around cells, or none where quotes are only text; guessed when empty."
    )
    header: bool | None = Field(None, description="Whether the first line names the columns; guessed when empty.")
    k_core: int = Field(
        2, ge=1, description="Keep users and items with at least this many interactions, repeated until stable."
    )
    min_weight: float | None = Field(None, description="Ignore interactions with a weight (rating) below this.")
    repeats: Literal["first", "last", "keep"] = Field(
        "first",
        description="A user choosing the same item again later: keep the first choice (recommend what is new to them), "
        "the last, or all of them.",
    )
    cold_items: bool = Field(False, description="Keep catalogue items without interactions as candidates.")
    max_rejected: float = Field(
        0.05, ge=0, le=1, description="Refuse the file when more than this share of its lines is unreadable."
    )
    seed: Seed = Field(42, description="Seed of the uni100 negatives, fixed for the dataset.")
    split: SplitConfig = Field(
        SplitConfig(),
        description="What is held out: leave-one-out, temporal, or settings in braces such as "
        "{kind: temporal, test_from: 2024-03-01}.",
    )

    @field_validator("split", mode="before")
    @classmethod
    def _kind(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value
