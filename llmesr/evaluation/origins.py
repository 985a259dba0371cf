"""What the scores of a run are made of: its own training, or those of other runs, where it is a policy of one, a blend
of several, or the lists of one that another re-ordered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from llmesr.config import BLEND, EXTERNAL, MADE_FOR_IT, RunConfig, has_backbone
from llmesr.runs.finetune import tuned_on_choices
from llmesr.runs.settings import settings_of
from llmesr.store import Manifest, Store, config_digest

GUIDES = ("base", "teacher")
"""Settings that name another run, which a training learns from."""
_SEED = ("seed", *MADE_FOR_IT)


def sources(manifest: Manifest) -> list[str]:
    """The ids of the runs whose models a run uses; none where it has a model of its own, or none at all."""
    info = manifest.info
    if isinstance(policy := info.get("policy"), Mapping):
        return [str(policy["run"])] if "run" in policy else []
    if isinstance(blend := info.get("blend"), Mapping):
        return [str(id) for id in blend.get("runs", ())]
    if isinstance(allocation := info.get("allocation"), Mapping):
        return [str(allocation[name]) for name in ("first", "second") if name in allocation]
    first = manifest.config.get("first") if manifest.config.get("method") == EXTERNAL else None
    return [str(first)] if first else []


def origins(store: Store, manifest: Manifest) -> list[Manifest]:
    """The manifests of the trainings behind a run, each once. For a source that is gone stands the run that used it."""
    found: dict[str, Manifest] = {}
    for id in sources(manifest):
        there = origins(store, store.manifest("runs", id)) if store.exists("runs", id) else [manifest]
        found |= {m.id: m for m in there}
    return list(found.values()) or [manifest]


def _blended(manifest: Manifest) -> Mapping[str, Any]:
    """What the manifest of a blend says of it; nothing for other runs."""
    blend = manifest.info.get("blend")
    return blend if isinstance(blend, Mapping) else {}


def lucky(manifest: Manifest) -> bool:
    """Whether luck is part of what a training came to, which only several seeds can show. A blend whose members are
    gone may have any."""
    method = str(manifest.config["method"])
    return has_backbone(method) or method in ("ials", BLEND)


def identity(
    store: Store, manifest: Manifest, *, but: Collection[str] = (), under_any_split: bool = False
) -> tuple[Any, ...]:
    """What runs share that differ in nothing but the seed and the settings in ``but``, those they are made of included.

    ``under_any_split``: also with their like under another split of the data, whose texts are read by the same
    embedder into other artifacts, and whose base and teacher are other runs.
    """

    def of(id: str) -> tuple[Any, ...]:
        if not store.exists("runs", id):
            return (id,)
        return identity(store, store.manifest("runs", id), but=but, under_any_split=under_any_split)

    config, text = manifest.config, manifest.parent("embeddings")
    left_out = {*_SEED, "first", *but, *((*GUIDES, "views") if under_any_split else ())}
    blend = _blended(manifest)
    read = settings_of(manifest) | {k: v for k, v in blend.items() if k == "emphasis"}
    read |= {"trees": True} if "trees" in blend else {}
    settings = tuple(sorted((k, repr(v)) for k, v in read.items() if k not in left_out))
    parts = tuple(of(id) for id in sources(manifest))
    if not under_any_split:
        return text, settings, parts
    views = tuple(embedder(store, v) for v in config.get("views") or ())
    guides = tuple(of(str(config[k])) if config.get(k) else None for k in GUIDES)
    return (None if text is None else embedder(store, text)), settings, parts, views, guides


def embedder(store: Store, id: str) -> str:
    """The fingerprint of what made an embedding; its id where that is not known.

    What learned from choices is tuned under each split anew, so that only how it is tuned counts. One of an earlier
    version has a fingerprint of then: that of another embedding here that says it was the same.
    """
    if not store.exists("embeddings", id):
        return id
    manifest = store.manifest("embeddings", id)
    info = manifest.info
    if (adapter := tuned_on_choices(store, manifest)) is not None:
        read = [manifest.config.get(k) for k in ("embedder", "pooling", "max_tokens", "precision")]
        return config_digest(adapter.config.model_dump(), read)
    own = str(info.get("fingerprint", id))
    if "earlier_fingerprint" in info:
        return own
    later = (m.info for m in store.list("embeddings") if m.info.get("earlier_fingerprint") == own)
    return next((str(i["fingerprint"]) for i in later), own)


def texts(store: Store, manifest: Manifest) -> list[Manifest]:
    """The embeddings behind a run, each once: those it reads, and those of the runs it is made of or learned from."""
    views = [("embeddings", str(v)) for v in manifest.config.get("views") or ()]
    ahead, found = [*((p.kind, p.id) for p in manifest.parents), *views], dict[str, Manifest]()
    for kind, id in ahead:
        if kind not in ("embeddings", "runs") or not store.exists(kind, id):
            continue
        there = store.manifest(kind, id)
        found |= {m.id: m for m in ([there] if kind == "embeddings" else texts(store, there))}
    return list(found.values())


def described(store: Store, id: str) -> str:
    """A run as a part of another: its label and what sets it apart from the defaults, but for the seed."""
    if not store.exists("runs", id):
        return id
    manifest = store.manifest("runs", id)
    method, backbone = str(manifest.config["method"]), manifest.config.get("backbone")
    usual, quiet = RunConfig().model_dump(), (*_SEED, "method", "backbone", "epochs", "patience")
    given = {k: v for k, v in settings_of(manifest).items() if k in usual and k not in quiet and v != usual[k]}
    said = f" ({', '.join(f'{k}={v}' for k, v in given.items())})" if given else ""
    return (f"{method}/{backbone}" if has_backbone(method) else method) + said
