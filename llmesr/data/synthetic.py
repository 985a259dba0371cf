"""A generated marketplace: readable titles, few bestsellers, many short histories, text that tells.

Items belong to a *cluster*: one brand's line within one topic ("Velora, vegan face serums"). Users
belong to a community that likes a few clusters, and drift from one of them to the next. Within a
cluster, bestsellers are chosen more (Zipf). Title, brand, category and description name the
cluster, so text predicts choices even of an item nobody has chosen yet; that two clusters share a
community, only behaviour can tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from llmesr.config import IngestConfig
from llmesr.data.dataset import Dataset, load_dataset
from llmesr.data.ingest import ingest_frames
from llmesr.store import Store, config_digest, slug

CLUSTER_SIZE = 8
INTERESTS = 3
SHARE_CLUSTER, SHARE_TOPIC = 0.7, 0.15  # the rest of the choices follow popularity alone
ZIPF = 0.9
START, SPAN = 1_546_300_800, 3 * 365 * 86_400  # histories begin in the three years from 2019-01-01
GAP = 45 * 86_400
"""Mean time between two choices of a user: long enough that a cut in time has many on both of its sides."""

# category: (products, features)
TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Face Care": (("serum", "night cream", "cleanser", "toner"), ("hyaluronic", "vitamin C", "retinol", "soothing")),
    "Hair Care": (("shampoo", "conditioner", "hair mask", "hair oil"), ("argan", "keratin", "anti-frizz", "curl")),
    "Makeup": (("lipstick", "mascara", "eyeliner", "blush"), ("matte", "waterproof", "shimmering", "long-wear")),
    "Fragrance": (("eau de parfum", "body mist", "cologne"), ("jasmine", "sandalwood", "citrus", "amber")),
    "Coffee": (("espresso beans", "ground coffee", "coffee capsules"), ("dark roast", "Ethiopian", "decaf", "smoky")),
    "Tea": (("green tea", "herbal tea", "black tea", "matcha"), ("loose leaf", "jasmine", "bergamot", "ceremonial")),
    "Office Supplies": (("gel pens", "notebook", "stapler", "folder"), ("A4", "recycled", "heavy duty", "dotted")),
    "Printers": (("ink cartridge", "toner cartridge", "photo paper"), ("black", "high yield", "tri-color", "glossy")),
    "Headphones": (("earbuds", "over-ear headphones", "headset"), ("noise cancelling", "wireless", "bass", "studio")),
    "Photography": (("tripod", "lens filter", "camera strap"), ("carbon fibre", "polarising", "leather", "compact")),
    "Running": (("running shoes", "running socks", "hydration vest"), ("trail", "cushioned", "reflective", "light")),
    "Cycling": (("bike light", "cycling jersey", "bike helmet"), ("aero", "rechargeable", "gravel", "breathable")),
    "Camping": (("tent", "sleeping bag", "camp stove"), ("two-person", "down", "ultralight", "four-season")),
    "Fishing": (("fishing rod", "spinning reel", "lure set"), ("saltwater", "telescopic", "fly", "carbon")),
    "Board Games": (("strategy game", "party game", "card game"), ("cooperative", "family", "two-player", "medieval")),
    "Science Fiction": (("novel", "short stories", "anthology"), ("space opera", "dystopian", "time travel", "robot")),
    "Cookbooks": (("cookbook", "baking guide", "recipe cards"), ("vegan", "Italian", "sourdough", "weeknight")),
    "Kitchen": (("chef knife", "frying pan", "stock pot"), ("stainless", "cast iron", "non-stick", "copper")),
    "Garden": (("pruning shears", "flower seeds", "plant pot"), ("terracotta", "organic", "perennial", "ergonomic")),
    "Dog Supplies": (("dog food", "dog leash", "chew toy"), ("grain-free", "puppy", "reflective", "salmon")),
    "Cat Supplies": (("cat food", "scratching post", "cat litter"), ("sisal", "clumping", "kitten", "tuna")),
    "Baby": (("diapers", "baby bottle", "baby blanket"), ("newborn", "anti-colic", "muslin", "hypoallergenic")),
    "Yoga": (("yoga mat", "yoga block", "meditation cushion"), ("cork", "non-slip", "buckwheat", "travel")),
    "Guitar": (("guitar strings", "guitar pedal", "guitar capo"), ("phosphor bronze", "overdrive", "nylon", "delay")),
}
STYLES = ("Classic", "Eco", "Pro", "Vintage", "Luxe", "Nordic", "Urban", "Junior", "Artisan", "Alpine", "Zen", "Retro")
COLOURS = ("Ruby", "Ivory", "Slate", "Olive", "Coral", "Indigo", "Amber", "Pearl", "Onyx", "Sage", "Copper", "Teal")
HEADS = ("Vel", "Nor", "Lum", "Kar", "Bri", "Sol", "Mon", "Tal", "Fen", "Cor", "Aur", "Zel", "Hav", "Pel", "Dor", "Wyn")
MIDDLES = ("o", "a", "i", "e", "ari", "elo", "ani", "ori", "imo", "eta")
TAILS = ("ra", "ka", "lin", "dis", "tex", "via", "mont", "sen", "well", "bury", "nova", "fort")


@dataclass(frozen=True)
class _Clusters:
    """Items are sorted by cluster and clusters by topic, so both are ranges of item positions."""

    topic: np.ndarray  # (C,) topic of each cluster
    starts: np.ndarray  # (C + 1,) first item of each cluster
    of_item: np.ndarray  # (N,) cluster of each item

    def topic_range(self, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and one-past-last item of the whole topic of each of ``clusters``."""
        topic = self.topic[clusters]
        first = np.searchsorted(self.topic, topic, side="left")
        last = np.searchsorted(self.topic, topic, side="right")
        return self.starts[first], self.starts[last]


def frames(
    users: int, items: int, *, seed: int = 0, signal: float = 1.0, mean_length: float = 8
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Generate ``(interactions, items)``.

    ``interactions``: user_id, item_id, timestamp (unix seconds), sorted by user and time, no user
    chooses an item twice. ``items``: item_id, title, brand, category, description. ``signal`` is
    the probability that an item's text describes its own cluster and not a random one: at 0 the
    text has the same words but says nothing about choices. The interactions do not depend on it.
    """
    if users < 1 or items < 4 or mean_length < 3 or not 0 <= signal <= 1:
        raise ValueError(f"cannot generate {users} users, {items} items, length {mean_length}, signal {signal}")
    choices, texts = (np.random.default_rng([seed, stream]) for stream in (0, 1))
    clusters = _clusters(items, choices)
    user, item, timestamp = _choices(users, items, clusters, mean_length, choices)
    names = choices.permutation(items)  # item ids do not betray the cluster
    catalogue = _catalogue(clusters, signal, texts)
    catalogue.insert(0, "item_id", _ids("i", items).take(names).to_numpy())
    interactions = pd.DataFrame(
        {
            "user_id": _ids("u", users).take(user).reset_index(drop=True),
            "item_id": catalogue["item_id"].take(item).reset_index(drop=True),
            "timestamp": timestamp,
        }
    )
    return interactions, catalogue.sort_values("item_id", ignore_index=True)


def make(
    store: Store, name: str = "synthetic", *, users: int = 1000, items: int = 400, seed: int = 0, signal: float = 1.0
) -> Dataset:
    """Generate a marketplace and store it as a dataset; the same arguments reuse what is there."""
    id = f"{slug(name)}-{config_digest('synthetic', 2, name, users, items, seed, signal)}"
    if store.exists("datasets", id):
        return load_dataset(store, id)
    interactions, catalogue = frames(users, items, seed=seed, signal=signal)
    return ingest_frames(interactions, catalogue, IngestConfig(name=name, k_core=1), store, id=id)


def _ids(prefix: str, count: int) -> pd.Series:
    width = len(str(count))
    return pd.Series([f"{prefix}{i:0{width}d}" for i in range(1, count + 1)], dtype="str")


def _clusters(items: int, rng: np.random.Generator) -> _Clusters:
    count = max(2, round(items / CLUSTER_SIZE))
    topics = min(len(TOPICS), max(2, count // 2))
    topic = np.sort(np.arange(count) % topics)
    bounds = np.sort(rng.choice(np.arange(1, items), count - 1, replace=False)) if count < items // 3 else None
    even = np.linspace(0, items, count + 1).astype(np.int64)
    starts = even if bounds is None else (np.concatenate([[0], bounds, [items]]) + even) // 2
    return _Clusters(topic, starts, np.repeat(np.arange(count), np.diff(starts)))


def _choices(
    users: int, items: int, clusters: _Clusters, mean_length: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, item and time of every interaction, sorted by user and time."""
    lengths = 3 + rng.lognormal(np.log(max(mean_length - 3, 0.2)) - 0.5, 1.0, users).astype(np.int64)
    lengths = np.minimum(lengths, max(3, items // 3))
    drawn = np.ceil(lengths * 1.6).astype(np.int64) + 1  # more than needed: repeated items are dropped
    user = np.repeat(np.arange(users), drawn)
    place = np.arange(len(user)) - np.repeat(np.cumsum(drawn) - drawn, drawn)

    interests = _interests(users, len(clusters.topic), rng)
    progress = place / np.repeat(lengths, drawn) * INTERESTS + rng.normal(0, 0.5, len(user))
    cluster = interests[user, np.clip(progress, 0, INTERESTS - 1).astype(np.int64)]
    low, high = clusters.starts[cluster], clusters.starts[cluster + 1]
    kind = rng.random(len(user))
    wide_low, wide_high = clusters.topic_range(cluster)
    wide = kind > SHARE_CLUSTER
    low, high = np.where(wide, wide_low, low), np.where(wide, wide_high, high)
    anything = kind > SHARE_CLUSTER + SHARE_TOPIC
    low, high = np.where(anything, 0, low), np.where(anything, items, high)

    popularity = (rng.permutation(items) + 1.0) ** -ZIPF
    cumulative = np.concatenate([[0.0], np.cumsum(popularity)])
    point = cumulative[low] + rng.random(len(user)) * (cumulative[high] - cumulative[low])
    item = np.clip(np.searchsorted(cumulative, point, side="right") - 1, low, high - 1)

    keep = _first_of_each(user, item, items)
    user, item = user[keep], item[keep]
    counts = np.bincount(user, minlength=users)
    place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    short = place < lengths[user]
    user, item = user[short], item[short]
    return user, item, _times(user, users, rng)


def _interests(users: int, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """(users, INTERESTS) clusters each user likes, in the order they drift through them."""
    communities = rng.permuted(np.tile(np.arange(clusters), (2, 1)), axis=1).ravel()  # each cluster in two of them
    size = min(4, clusters)
    # some communities are far larger than others
    start = (rng.random(users) ** 2 * (len(communities) // size)).astype(np.int64) * size
    picks = rng.random((users, size)).argsort(axis=1)[:, np.arange(INTERESTS) % size]
    chosen: np.ndarray = communities[start[:, None] + picks]
    return chosen


def _first_of_each(user: np.ndarray, item: np.ndarray, items: int) -> np.ndarray:
    """Mask of rows that are not a repetition of an earlier row of the same user."""
    key = user * items + item
    order = np.argsort(key, kind="stable")
    new = np.ones(len(key), dtype=bool)
    new[1:] = key[order][1:] != key[order][:-1]
    keep = np.zeros(len(key), dtype=bool)
    keep[order[new]] = True
    return keep


def _times(user: np.ndarray, users: int, rng: np.random.Generator) -> np.ndarray:
    """Unix seconds, strictly rising for each user, some weeks apart."""
    gaps = 60 + rng.exponential(GAP, len(user)).astype(np.int64)
    total = np.cumsum(gaps)
    counts = np.bincount(user, minlength=users)
    first = np.cumsum(counts) - counts
    base = np.append(0, total)[first]
    times: np.ndarray = START + rng.integers(0, SPAN, users)[user] + total - base[user]
    return times


def _catalogue(clusters: _Clusters, signal: float, rng: np.random.Generator) -> pd.DataFrame:
    items, count = len(clusters.of_item), len(clusters.topic)
    told = np.where(rng.random(items) < signal, clusters.of_item, rng.integers(0, count, items))
    brands = _brands(count, rng)
    styles = rng.integers(0, len(STYLES), count)
    names = list(TOPICS)
    draw = rng.integers(0, 2**31, (items, 5))
    rows = []
    for row, cluster in enumerate(told.tolist()):
        category = names[clusters.topic[cluster]]
        products, features = TOPICS[category]
        a, b, c, d, number = draw[row].tolist()
        # a brand's line keeps to one product and one feature most of the time
        product = products[cluster % len(products) if a % 3 else a % len(products)]
        feature = features[cluster // 4 % len(features) if b % 3 else b % len(features)]
        brand, style = brands[cluster], STYLES[styles[cluster]]
        title = f"{brand} {style} {feature} {product}, {COLOURS[c % len(COLOURS)]} {number % 997 + 1}"
        also = features[d % len(features)]
        text = f"{style} {product} by {brand}: {feature}, {also}. For those who love {category.lower()}."
        rows.append((title, brand, category, text))
    return pd.DataFrame(rows, columns=["title", "brand", "category", "description"], dtype="str")


def _brands(count: int, rng: np.random.Generator) -> list[str]:
    names = [h + m + t for h in HEADS for m in MIDDLES for t in TAILS]
    order = rng.permutation(len(names)).tolist()
    # past the 1,920 plain names, brands get a numeral: "Velora 2"
    return [names[order[i % len(names)]] + (f" {i // len(names) + 1}" if i >= len(names) else "") for i in range(count)]
