"""The items whose texts are nearest to that of an item, worked out once for all processes.

To seek them goes over the whole catalogue: half a millisecond of an item among a hundred thousand, several among a
million. They are kept beside the embedding, as derived data are (:mod:`llmesr.store.derived`): of no manifest, made
again when the vectors change, gone with them. Whoever needs an item first works it out, and all others find it: on
whatever processor that was, and in whatever precision, a bound is one.
"""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from llmesr.data.shared_rows import SharedRows, room
from llmesr.ids import PAD
from llmesr.scoring import coarse
from llmesr.scoring.greatest import best_products
from llmesr.semantic.embed import VECTORS
from llmesr.store import derived

log = logging.getLogger(__name__)
FORM = 1
"""Changes with the way they are worked out and kept: those of another are not read."""
FILE = "rows"
AT_ONCE = 16
"""Items that are worked out in one go while nobody asks: a request that comes meanwhile waits for them."""
NEXT = 1024
"""Of so many items those are drawn by chance, so that several processes seldom take the same."""
_FEWEST, _MOST, _PRODUCTS = 16, 128, 2**27
"""Items that are worked out together, and how many cosines exist at once for that."""


class NearestTexts:
    """The nearest items of every item, most similar first, and a bound of the cosines with all others."""

    def __init__(self, text: Tensor, many: int, beside: Path | None = None, space: str = "") -> None:
        """``text`` (N + 1, E) of unit length or zero; ``many`` items are kept of each. ``beside``: the folder of the
        embedding, where they are kept; ``space`` tells its text spaces apart."""
        self.text, self.many = text, many
        self._coarse = text.bfloat16() if coarse.pays(text.device) and 2 * many <= len(text) else None
        self._table = text if self._coarse is None else self._coarse
        self._beside, self._name = beside, f"nearest-{space}-{many}-{FORM}"
        self._together = min(_MOST, max(_FEWEST, _PRODUCTS // len(text)))
        self._chance = np.random.default_rng()
        self._passed = 0
        """So many of the items to hold next are held."""

    @property
    def nbytes(self) -> int:
        """What all of them take, with the vectors they are sought by."""
        return 4 * len(self.text) * (2 * self.many + 1) + (0 if self._coarse is None else self._coarse.nbytes)

    @cached_property
    def rows(self) -> SharedRows:
        """Of an item the nearest ones (K), their cosines (K) as they are in memory, and the bound."""
        size, width = len(self.text), 2 * self.many + 1
        rows = self._kept(size, width) or SharedRows(size, width)
        rows.known[PAD] = True
        return rows

    def _kept(self, size: int, width: int) -> SharedRows | None:
        """Those beside the embedding; None where there is none, or its folder cannot be used."""
        if self._beside is None:
            return None
        try:
            make = partial(_make, size, width)
            with derived(self._beside, self._name, (VECTORS,), make, growing=True) as place:
                if place is not None:
                    return SharedRows(size, width, place / FILE)
            why = "it may only be read"
        except (OSError, ValueError) as error:
            why = str(error)
        log.warning("%s cannot keep the nearest texts of its items (%s): they stay in memory.", self._beside, why)
        return None

    def hold(self, items: np.ndarray) -> int:
        """Work out what nobody has worked out of different ``items``; of how many."""
        self.rows.find(items)
        missing = items[~self.rows.known[items]]
        together = min(len(missing), self._together)
        # In memory once: what the system hands out anew it fills with zeros first, a fifth of all this takes.
        products = torch.empty(together, len(self.text), dtype=self._table.dtype, device=self.text.device)
        for start in range(0, len(missing), together or 1):
            some = missing[start : start + together]
            self.rows.put(some, self._sought(some, products[: len(some)]))
        return len(missing)

    def hold_next(self, items: np.ndarray) -> bool:
        """Find or work out some of ``items``, the same each time, the first ones first; whether there was anything left
        to do."""
        while self._passed < len(items):
            some = items[self._passed : self._passed + NEXT]
            lacking = some[~self.rows.known[some]]
            if len(lacking):
                self.rows.find(lacking)
                lacking = lacking[~self.rows.known[lacking]]
                self.hold(self._chance.permutation(lacking)[:AT_ONCE])
                return True
            self._passed += NEXT
        return False

    @torch.inference_mode()
    def _sought(self, items: np.ndarray, products: Tensor) -> np.ndarray:
        """(n, 2 K + 1) of ``items`` (n,), the same whatever others they come with; ``products`` (n, N + 1) is
        overwritten."""
        new = self.text[torch.from_numpy(items).to(self.text.device)]
        if self._coarse is None:
            cosines, found = best_products(new, self.text, self.many, products)
            bounds = cosines[:, -1]
        else:  # twice as many by rough cosines, of which the nearest; what is left out is no nearer than both
            rough, found = best_products(new.bfloat16(), self._coarse, 2 * self.many, products)
            pairs = zip(found, new, strict=True)  # one by one: a product of several rounds otherwise
            cosines = torch.stack([F.embedding(one, self.text) @ vector for one, vector in pairs])
            cosines, nearest = cosines.topk(self.many, dim=1)
            found = found.gather(1, nearest)
            bounds = torch.maximum(cosines[:, -1], rough[:, -1] + coarse.ROUNDED)
        numbers = torch.cat([cosines, bounds[:, None]], 1).view(torch.int32)
        return torch.cat([found.int(), numbers], 1).cpu().numpy()

    def of(self, sequences: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """See :meth:`ContentTerm.listed`; all items of (B, L) ``sequences`` are held."""
        real = sequences != PAD
        rows = torch.from_numpy(self.rows.get(sequences[real].cpu().numpy())).to(sequences.device)  # (R, 2 K + 1)
        item, numbers = rows[:, : self.many], rows[:, self.many :].view(torch.float32)
        bounds = torch.full(sequences.shape, -1.0, device=sequences.device)
        bounds[real] = numbers[:, -1]
        bound = torch.where(real.any(1), bounds.amax(1), 0.0)  # (B,)
        owner = real.nonzero()[:, 0, None].expand(-1, self.many)
        return bound, owner.reshape(-1), item.long().reshape(-1), numbers[:, :-1].reshape(-1)


def _make(size: int, width: int, place: Path) -> None:
    room(place / FILE, size, width)
