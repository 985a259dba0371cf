"""Sequence encoders: (B, L, D) and a mask of real positions -> (B, L, D); no item table inside.

To add one, write a builder with the same keywords and name it in :data:`ENCODERS`.
"""

from collections.abc import Callable

from torch import nn

from llmesr.encoders.attention import bert4rec, sasrec
from llmesr.encoders.recurrent import gru4rec

ENCODERS: dict[str, Callable[..., nn.Module]] = {"sasrec": sasrec, "bert4rec": bert4rec, "gru4rec": gru4rec}

MASKED = frozenset({"bert4rec"})
"""Encoders trained to fill in masked positions; the others predict the next item at each position."""
