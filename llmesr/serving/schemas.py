"""The shapes of requests and responses of the HTTP API. An unknown field is an error."""

from __future__ import annotations

import marshal
from collections import OrderedDict
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator

from llmesr.scoring.policy import ScoringPolicy
from llmesr.scoring.rerankers import RerankConfig
from llmesr.scoring.tuning.outcome import PolicyWord

MAX_K = 1000
MAX_HISTORY = 1000
Name = Annotated[str, Field(min_length=1, max_length=256)]
K = Annotated[int, Field(ge=1, le=MAX_K, description="How many to return.")]
REMEMBERED = 64
"""Policies that are not read again: clients send the same one with every request, and to check one takes as long as all
else of a request."""
_policies: OrderedDict[bytes, ScoringPolicy] = OrderedDict()


def _remembered(sent: Any, check: ValidatorFunctionWrapHandler) -> ScoringPolicy:
    """The policy that was read where the very same was ``sent`` before."""
    if not isinstance(sent, dict):
        policy: ScoringPolicy = check(sent)
        return policy
    key = marshal.dumps(sent, 2)  # JSON of it would not tell what is no number from nothing
    if (known := _policies.get(key)) is None:
        known = _policies[key] = check(sent)
        if len(_policies) > REMEMBERED:
            _policies.popitem(last=False)
    return known


Policy = Annotated[ScoringPolicy, WrapValidator(_remembered)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Ask(_Body):
    run: Name | None = Field(None, description="A served run; the default one when absent.")
    k: K = 10
    policy: PolicyWord | Policy | None = Field(
        None, description="none, tuned, or a policy; when absent, what the run stands for."
    )
    reranker: RerankConfig = RerankConfig()
    exclude_seen: bool = Field(True, description="Leave out items of the history.")
    explain: bool = Field(False, description="Say what each item of the history contributes to each score.")


class AskForUser(_Ask):
    """Recommend to a user of the dataset, after everything they chose."""

    user: Name = Field(description="A user id of the dataset.")


class AskForHistory(_Ask):
    """Recommend after any history."""

    history: list[Name] = Field(min_length=1, max_length=MAX_HISTORY, description="Item ids, oldest first.")


Ask = Annotated[AskForUser | AskForHistory, Field(union_mode="left_to_right")]
"""One or the other: who is a user is not tried as a history, too."""


class HistoryShare(_Body):
    item_id: str
    title: str
    share: float = Field(description="Of all that speaks for the item, 0 to 1; below 0: speaks against it.")
    behaviour: float
    text: float


class Reasons(_Body):
    """Why an item is recommended. Exact (linear runs): behaviour and text of the history and all others sum to the
    score. Leave-one-out: by how much the score falls behind the catalogue without that item of the history."""

    kind: Literal["exact", "leave-one-out"]
    history: list[HistoryShare] = Field(description="Greatest first.")
    others: dict[str, float] = Field(description="What no single item of the history accounts for.")
    parts: dict[str, float] = Field(
        description="Of a sum of models without a policy: what each kind of model adds to the score, exactly."
    )
    text_share: float | None = Field(description="Exact: how much of what speaks for the item is text.")


class Item(_Body):
    """A recommended item; collaborative + semantic + content is the score."""

    item_id: str
    title: str
    score: float
    rank: int
    tail: bool = Field(description="Below the dataset's head/tail threshold of training interactions.")
    collaborative: float
    semantic: float
    content: float
    reasons: Reasons | None = Field(None, description="When asked for with explain.")


class Recommended(_Body):
    run: str
    policy: ScoringPolicy
    items: list[Item]


class SimilarItem(_Body):
    item_id: str
    title: str
    similarity: float = Field(description="Cosine.")
    tail: bool


class SimilarItems(_Body):
    run: str
    space: Literal["semantic", "collaborative"]
    items: list[SimilarItem]


class Neighbour(_Body):
    user_id: str
    similarity: float
    shared: int = Field(description="Training items both users chose.")
    history: list[str] = Field(description="The most recent training items, oldest first.")


class Neighbours(_Body):
    run: str
    users: list[Neighbour]


class RunInfo(_Body):
    run: str
    name: str
    label: str
    dataset: str
    items: int
    tuned: ScoringPolicy | None


class Health(_Body):
    status: Literal["ok"]
    device: str | None = None
    waiting: int | None = None
    runs: list[RunInfo] | None = None


class Reloaded(_Body):
    reloaded: list[str]


class Problem(BaseModel):
    """What was wrong, in a sentence."""

    detail: str
