"""Which of the files given are interactions and which describe items."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmesr.config import IngestConfig
from llmesr.data.columns import ACCEPTED, Guess
from llmesr.data.places import tables
from llmesr.data.sources import Source, describe
from llmesr.errors import UserError

ENDINGS = (
    ".csv",
    ".tsv",
    ".jsonl",
    ".json",
    ".ndjson",
    ".parquet",
    ".inter",
    ".item",
    ".user",
    ".txt",
    ".dat",
    ".data",
)
NOT_DATA = ("readme", "license", "licence", "source", "citation", "requirements", "notes", "checksum", "provenance")
ATOMIC = (".inter", ".item", ".user")
MAX_FILES = 2000
# folders of known datasets: the files that matter among all others
KNOWN_FOLDERS: tuple[tuple[str, ...], ...] = (
    ("u.data", "u.item", "u.user"),
    ("ratings.dat", "movies.dat", "users.dat"),
    ("ratings.csv", "movies.csv"),
    ("yelp_academic_dataset_review.json", "yelp_academic_dataset_business.json"),
)


@dataclass(frozen=True)
class Inputs:
    """The files by role (``users`` describe those);  ``ignored`` says why for each file left out.

    ``items`` are ``interactions`` when those carry the items' titles and there is no other file.
    """

    interactions: list[Source]
    items: list[Source]
    ignored: dict[str, str]
    users: list[Source] = field(default_factory=list)


def collect(paths: Sequence[Path]) -> list[Path]:
    """The data files among ``paths``; a folder stands for the data files directly in it.

    UserError when a path does not exist or a folder holds no data file.
    """
    if not paths:
        raise UserError("Give a file or a folder of interactions.")
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _folder(path)
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"There is no file or folder {path}.")
    return list(dict.fromkeys(found))


def _folder(folder: Path) -> list[Path]:
    entries = {p.name: p for p in sorted(folder.iterdir()) if not p.name.startswith(".")}
    check_folder(str(folder), entries)
    files = [n for n, p in entries.items() if p.is_file()]
    if not files and len(entries) == 1:
        return _folder(next(iter(entries.values())))  # an unpacked archive with one folder in it
    return [entries[name] for name in data_files(str(folder), files)]


def check_folder(folder: str, entries: Collection[str]) -> None:
    """UserError for the folder of a table whose files, read one by one, would bring deleted rows back."""
    if kind := tables.kind_of(entries):
        read = "DeltaTable(ADDRESS).to_pyarrow_table()" if kind == "Delta" else "TABLE.scan().to_arrow()"
        raise UserError(
            f"{folder} is the folder of a table ({kind}), whose files also hold rows that were deleted. Give the "
            f"table's own folder if it is on this disk, or what its library returns: llmesr.ingest({read}, name=...)."
        )


def data_files(folder: str, names: Sequence[str]) -> list[str]:
    """The names of the data files among those in a folder. UserError when there are none, or very many."""
    by_name = {n.removesuffix(".gz"): n for n in names}
    for known in KNOWN_FOLDERS:
        if known[0] in by_name:
            return [by_name[name] for name in known if name in by_name]
    atomic = [p for n, p in by_name.items() if n.endswith(ATOMIC)]
    if atomic:
        return atomic
    data = [p for n, p in by_name.items() if n.lower().endswith(ENDINGS) and not n.lower().startswith(NOT_DATA)]
    if not data:
        raise UserError(
            f"The folder {folder} holds no data files; expected CSV, TSV, JSONL, Parquet, .inter/.item or inter.txt."
        )
    if len(data) > MAX_FILES:
        raise UserError(f"The folder {folder} holds {len(data):,} data files; give at most {MAX_FILES:,}.")
    return data


def assign(
    paths: Sequence[Path], config: IngestConfig, named: Collection[Path] = (), users: Sequence[Path] = ()
) -> Inputs:
    """Look into the files and give each its role; ``users`` are said to describe those.

    UserError when there are no interactions or too many kinds, and when a file that was ``named`` (and not found in a
    folder), or that seems to describe the items, would not be used.
    """
    sources = [describe(path, config) for path in paths]
    interactions = [s for s in sources if _has_interactions(s, config)]
    items = [s for s in sources if s not in interactions and _has_items(s, config)]
    people = [s for s in sources if s not in interactions and s not in items and _has_users(s, config)]
    others = [s for s in sources if s not in interactions and s not in items and s not in people]
    likely_ones = [s for s in sources if config.columns or len(s.interaction_guess) > 1]
    candidates = others or people or likely_ones
    if not interactions and candidates:
        # nothing is sure: take the likeliest, and let the missing column be named there
        likely = max(candidates, key=lambda s: (len(s.interaction_guess), s.path.stat().st_size))
        interactions = [likely]
        items, people, others = ([s for s in group if s is not likely] for group in (items, people, others))
    if not interactions:
        names = ", ".join(s.name for s in sources)
        raise UserError(
            f"None of {names} holds interactions (a user and an item per row); "
            "give that file too, or name the columns with --column user_id=NAME --column item_id=NAME."
        )
    people += [describe(path, config) for path in users]
    for group, what in ((interactions, "interactions"), (items, "items"), (people, "users")):
        for other in group[1:]:
            if set(other.columns) != set(group[0].columns):
                raise UserError(
                    f"{group[0].name} and {other.name} both look like {what} but have different columns; "
                    "give only the file you mean, beside the other kind."
                )
    if not items and _tells_titles(interactions[0], config):
        items = interactions
    for source in others:
        _check_unused(source, interactions[0], config, named)
    ignored = {s.name: "it has neither a user id nor an item id" for s in others}
    return Inputs(interactions, items, ignored, people)


def _check_unused(source: Source, interactions: Source, config: IngestConfig, named: Collection[Path]) -> None:
    """UserError when a file without a role seems to describe the items, or was given on purpose."""
    guess = interactions.interaction_guess.get("item_id")
    chosen = config.columns.get("item_id", guess.column if guess else "")
    known = set(interactions.sample[chosen]) - {""} if chosen in interactions.columns else set()
    for column in source.columns:
        values = set(source.sample[column]) - {""}
        if len(values) > 1 and len(values & known) >= 0.5 * min(len(values), len(known)):
            raise UserError(
                f"{source.name} seems to describe the items: its column {column!r} holds their ids. "
                f"Say --item-column item_id={column}, or leave the file out."
            )
    if source.path in named:
        columns = ", ".join(map(repr, source.columns[:8]))
        raise UserError(
            f"{source.name} holds neither a user id nor an item id, as far as its columns tell ({columns}). "
            "Say which they are with --column, --item-column or --user-column, or leave it out."
        )


def _tells_titles(source: Source, config: IngestConfig) -> bool:
    """Whether the interactions themselves name the items (and not only a review's title)."""
    if config.item_columns:
        return True
    return "title" in source.item_guess and "review" not in source.interaction_guess


def _has_users(source: Source, config: IngestConfig) -> bool:
    """Whether a file that is no file of interactions or items tells of users."""
    if "user_id" in config.user_columns:
        return config.user_columns["user_id"] in source.columns
    return _sure(source.interaction_guess, "user_id") and len(source.columns) > 1


def _sure(guess: dict[str, Guess], field: str) -> bool:
    return field in guess and guess[field].confidence >= ACCEPTED


def _has_interactions(source: Source, config: IngestConfig) -> bool:
    guess = source.interaction_guess
    return all(
        config.columns[f] in source.columns if f in config.columns else _sure(guess, f) for f in ("user_id", "item_id")
    )


def _has_items(source: Source, config: IngestConfig) -> bool:
    if "item_id" in config.item_columns:
        return config.item_columns["item_id"] in source.columns
    return _sure(source.item_guess, "item_id")
