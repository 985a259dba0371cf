"""Datasets that can be fetched by name: where they are published, under which terms, and how to check them.

Addresses are those of the publishers' own pages. GroupLens publishes an MD5 beside each archive;
the Amazon pages give no checksums, so of those files the SHA-256 is recorded at the first download
and shown, and only the length is checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from llmesr.data import journey
from llmesr.data.fetch import download
from llmesr.data.wheels import from_wheel, unpack
from llmesr.errors import UserError
from llmesr.progress import Progress, silent
from llmesr.store import file_digest, write_json

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
SNAP = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
UCSD = ("https://mcauleylab.ucsd.edu/public_datasets/data", "https://datarepo.eng.ucsd.edu/mcauley_group/data")

MOVIELENS_TERMS = (
    "GroupLens terms: for research, with acknowledgement (Harper and Konstan 2015); no redistribution without "
    "permission and no commercial use without permission. https://grouplens.org/datasets/movielens/"
)
AMAZON_TERMS = (
    "No formal licence; published by J. McAuley's group (UCSD) for research, asking for citation. Check before "
    "redistributing. https://cseweb.ucsd.edu/~jmcauley/datasets.html"
)

CATEGORIES: dict[int, tuple[str, ...]] = {
    2014: (
        "Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl",
        "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics",
        "Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen", "Kindle_Store", "Movies_and_TV",
        "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors",
        "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games",
    ),
    2018: (
        "AMAZON_FASHION", "All_Beauty", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Books", "CDs_and_Vinyl",
        "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards",
        "Grocery_and_Gourmet_Food", "Home_and_Kitchen", "Industrial_and_Scientific", "Kindle_Store", "Luxury_Beauty",
        "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden",
        "Pet_Supplies", "Prime_Pantry", "Software", "Sports_and_Outdoors", "Tools_and_Home_Improvement",
        "Toys_and_Games", "Video_Games",
    ),
    2023: (
        "All_Beauty", "Amazon_Fashion", "Appliances", "Arts_Crafts_and_Sewing", "Automotive", "Baby_Products",
        "Beauty_and_Personal_Care", "Books", "CDs_and_Vinyl", "Cell_Phones_and_Accessories",
        "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics", "Gift_Cards", "Grocery_and_Gourmet_Food",
        "Handmade_Products", "Health_and_Household", "Health_and_Personal_Care", "Home_and_Kitchen",
        "Industrial_and_Scientific", "Kindle_Store", "Magazine_Subscriptions", "Movies_and_TV", "Musical_Instruments",
        "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Software", "Sports_and_Outdoors",
        "Subscription_Boxes", "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file to download, from the first address that works."""

    name: str
    addresses: tuple[str, ...]
    size: int | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Known:
    """A dataset that can be fetched. ``members`` are the files wanted out of the archive, if it is one."""

    name: str
    title: str
    terms: str
    files: tuple[File, ...]
    members: tuple[str, ...] = ()


def _movielens(name: str, size: int | None, md5: str, members: tuple[str, ...]) -> Known:
    archive = File(f"{name}.zip", (f"{GROUPLENS}/{name}.zip",), size, md5)
    return Known(name, f"MovieLens {name[3:].upper()}", MOVIELENS_TERMS, (archive,), members)


def _amazon(category: str, year: int, full: bool) -> Known:
    short = re.sub("^amazon-", "", category.lower().replace("_", "-")).removesuffix("-products")
    if year == 2014:
        reviews, meta = f"reviews_{category}{'' if full else '_5'}.json.gz", f"meta_{category}.json.gz"
        files = (File(reviews, (f"{SNAP}/{reviews}",)), File(meta, (f"{SNAP}/{meta}",)))
    elif year == 2018:
        reviews, meta = f"{category}{'' if full else '_5'}.json.gz", f"meta_{category}.json.gz"
        folder = "categoryFiles" if full else "categoryFilesSmall"
        files = (
            File(reviews, tuple(f"{u}/amazon_v2/{folder}/{reviews}" for u in UCSD)),
            File(meta, tuple(f"{u}/amazon_v2/metaFiles2/{meta}" for u in UCSD)),
        )
    else:
        reviews, meta = f"{category}.jsonl.gz", f"meta_{category}.jsonl.gz"
        files = (
            File(reviews, tuple(f"{u}/amazon_2023/raw/review_categories/{reviews}" for u in UCSD)),
            File(meta, tuple(f"{u}/amazon_2023/raw/meta_categories/{meta}" for u in UCSD)),
        )
    kind = "all reviews" if full else "5-core"
    name = f"amazon-{short}-{year}" + ("-full" if full and year != 2023 else "")
    return Known(name, f"Amazon {category.replace('_', ' ')} {year}, {kind}", AMAZON_TERMS, files)


def _catalogue() -> dict[str, Known]:
    entries = [
        _movielens("ml-100k", 4_924_029, "0e33842e24a9c977be4e0107933c0723", ("u.data", "u.item", "u.user")),
        _movielens("ml-1m", None, "c4d9eecfca2ab87c1945afe126590906", ("ratings.dat", "movies.dat", "users.dat")),
        _movielens("ml-32m", 238_950_008, "d472be332d4daa821edc399621853b57", ("ratings.csv", "movies.csv")),
    ]
    for year, categories in CATEGORIES.items():
        for category in categories:
            entries += [_amazon(category, year, full) for full in ((True,) if year == 2023 else (False, True))]
    entries.append(Known(journey.NAME, "Complete Journey, a grocer's year 2017", journey.TERMS, ()))
    found = {k.name: k for k in entries}
    # the 5-core of Fashion 2018 has 3,176 reviews; the papers cut their own from all reviews
    found["amazon-fashion-2018"] = found["amazon-fashion-2018-full"]
    return found


KNOWN = _catalogue()

# MovieLens 100K again, as RecBole's wheel carries it
WHEEL = "recbole==1.2.1"
WHEEL_MEMBERS = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}


def find(name: str) -> Known:
    """A dataset by name. UserError with the nearest names when there is none."""
    if name in KNOWN:
        return KNOWN[name]
    import difflib

    near = difflib.get_close_matches(name, KNOWN, n=4, cutoff=0.4) or ["ml-100k"]
    raise UserError(f"{name!r} is not a known dataset. Near: {', '.join(near)}; `llmesr fetch --list` shows all.")


def get(name: str, folder: Path, progress: Progress = silent, *, pause: float = 1.0) -> list[Path]:
    """Download a known dataset into ``folder`` and return the files to ingest; what is there is reused.

    MovieLens 100K falls back to the copy in RecBole's wheel when GroupLens cannot be reached.
    UserError says what could not be had and how to go on.
    """
    known = find(name)
    folder = Path(folder)
    if name == journey.NAME:
        return journey.get(folder, progress)
    wanted = [folder / m for m in known.members] if known.members else [folder / f.name for f in known.files]
    if all(p.is_file() for p in wanted):
        return wanted
    spare = [folder / m for m in WHEEL_MEMBERS]
    if name == "ml-100k" and all(p.is_file() for p in spare):
        return spare
    try:
        got = [
            download(f.addresses, folder / f.name, size=f.size, md5=f.md5, progress=progress, pause=pause)
            for f in known.files
        ]
    except UserError as error:
        if name != "ml-100k":
            raise
        try:
            return movielens_from_wheel(folder, progress)
        except UserError as second:
            raise UserError(f"{error} The second source failed too: {second}") from second
    digests = {p.name: file_digest(p) for p in got}
    if known.members:
        unpack(got[0], known.members, folder)
        got[0].unlink()
    write_json(folder / "provenance.json", {"dataset": known.title, "terms": known.terms, "sha256": digests})
    return wanted


def movielens_from_wheel(folder: Path, progress: Progress = silent) -> list[Path]:
    """MovieLens 100K out of RecBole's wheel."""
    files = from_wheel(WHEEL, WHEEL_MEMBERS, folder, progress)
    write_json(
        folder / "provenance.json",
        {"dataset": f"MovieLens 100K from {WHEEL}", "terms": MOVIELENS_TERMS, "sha256": WHEEL_MEMBERS},
    )
    return files
