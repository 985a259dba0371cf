"""One decorator for everything the app keeps between page runs, and what its values depend on.

A value is kept under the arguments of its loader (the artifact root first) and a *version*, which changes whenever
what it was made from does: the digests of the artifacts' manifests, or the time of a file. A changed artifact (a
moved threshold, a run that finished) is therefore read anew, and two roots in one process never mix.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from llmesr.data.groups import Thresholds
from llmesr.maps.spaces import Space
from llmesr.store import Store

P = ParamSpec("P")
R = TypeVar("R")
Version = Callable[..., Hashable]
"""Called with the arguments of a loader by name."""

_BY: dict[Any, Callable[[Any], Any]] = {
    Store: lambda store: str(store.root),
    Space: lambda space: space.spec,
    Thresholds: lambda thresholds: (thresholds.item, thresholds.user),
    type(Path()): str,
}
"""What of an argument is part of the key, where Streamlit cannot know."""


def kept(
    version: Version, *, entries: int, copies: bool = False, spinner: str | bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep what a loader returns, for at most ``entries`` calls, as long as ``version`` of its arguments is the same.

    One object is shared between visitors: do not change it. ``copies`` gives a copy to everybody instead, for small
    tables that pages go on working with. ``spinner`` is said while the loader works.
    """
    keep: Any = st.cache_data if copies else st.cache_resource

    def decorate(loader: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(loader)

        # Wrapped, so that Streamlit tells loaders apart by their names and source; with a signature of its own,
        # because that is how Streamlit calls it.
        @functools.wraps(loader)
        def load(_version: Hashable, arguments: dict[str, Any]) -> R:
            return loader(**arguments)  # type: ignore[call-arg]

        load.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in ("version", "arguments")]
        )
        stored = keep(max_entries=entries, show_spinner=spinner, hash_funcs=_BY)(load)

        @functools.wraps(loader)
        def look_up(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            found: R = stored(version(**bound.arguments), bound.arguments)
            return found

        return look_up

    return decorate


def digest(root: Store, kind: str, id: str) -> str:
    """What changes whenever an artifact does. UserError when it is not there."""
    return root.digest(kind, id)


def digests(**kinds: str) -> Version:
    """A version made of artifacts: parameter -> their kind. The argument is an id, None, or name -> several ids."""

    def version(root: Store, **arguments: Any) -> Hashable:
        return tuple(digest(root, kind, id) for name, kind in kinds.items() for id in _ids(arguments[name]))

    return version


def file_state(path: Path, **_: object) -> Hashable:
    """The version of a file: when it was written, and its size; however it is read."""
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


def clear() -> None:
    """Forget everything (tests run many apps in one process)."""
    st.cache_data.clear()
    st.cache_resource.clear()


def _ids(argument: str | Mapping[str, Iterable[str]] | None) -> list[str]:
    if argument is None:
        return []
    return [argument] if isinstance(argument, str) else [id for ids in argument.values() for id in ids]
