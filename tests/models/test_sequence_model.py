"""The recommender: where a user is read off, and how views line up."""

from typing import cast

import pytest
import torch

from llmesr.data.batches import pad_histories
from llmesr.encoders import ENCODERS
from llmesr.encoders.attention import AttentionEncoder
from llmesr.encoders.leave_one_out import LeaveOneOut
from llmesr.models.adapted_table import AdaptedTable
from llmesr.models.fusion import CrossView
from llmesr.models.scorers import NeuralScorer, SemanticKnnScorer
from llmesr.models.sequence_model import Positions, SequenceModel, last_state
from llmesr.models.tables import IdTable, ItemTable

N, D = 7, 8


def recommender(
    *,
    masked: bool = False,
    views: int = 1,
    fusion: CrossView | None = None,
    shared: bool = True,
    max_length: int = 4,
    layers: int = 1,
    heads: int = 1,
) -> SequenceModel:
    torch.manual_seed(0)
    tables: dict[str, ItemTable] = {name: IdTable(N, D, scale=1.0) for name in ("collaborative", "semantic")[:views]}
    name = "bert4rec" if masked else "sasrec"
    encoders = [
        ENCODERS[name](embedding_size=D, layers=layers, heads=heads, dropout=0.0, causal=True)
        for _ in range(1 if shared else views)
    ]
    return SequenceModel(
        tables=tables,
        encoders=encoders,
        fusion=fusion,
        n_items=N,
        embedding_size=D,
        max_length=max_length,
        dropout=0.0,
        newest_first=True,
        masked=masked,
    ).eval()


@pytest.mark.parametrize("masked", [False, True])
def test_padding_to_the_right_changes_nothing(masked: bool) -> None:
    model = recommender(masked=masked)
    short = model.represent(torch.tensor([[3, 5]]))
    padded = model.represent(torch.tensor([[3, 5, 0, 0, 0, 0]]))
    torch.testing.assert_close(short, padded)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("views", "shared"), [(1, True), (2, True), (2, False)])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("heads", [1, 2])
def test_what_is_left_without_an_item_is_read_as_any_history(
    heads: int, layers: int, views: int, shared: bool, newest_first: bool
) -> None:
    model = recommender(views=views, shared=shared, layers=layers, heads=heads)
    cast(Positions, model.positions).newest_first = newest_first
    assert model.leaves_one_out
    histories = torch.tensor([[3, 5, 1, 2], [6, 7, 0, 0], [1, 6, 2, 0], [4, 0, 0, 0]])
    asked = {  # whose row, what is left out: what is left
        (0, -1): [3, 5, 1, 2], (0, 3): [3, 5, 1], (0, 0): [5, 1, 2], (0, 2): [3, 5, 2],
        (2, 1): [1, 2], (1, 0): [7], (1, -1): [6, 7], (3, -1): [4], (2, 2): [1, 6],
    }  # fmt: skip
    left = pad_histories(list(asked.values()), 4, "cpu")
    owner, gap = torch.tensor(list(asked)).T
    torch.testing.assert_close(model.leave_one_out(histories, owner, gap), model.represent(left))
    scorer = NeuralScorer(model)
    torch.testing.assert_close(scorer.leave_one_out(histories, owner, gap), model.represent(left))


def test_a_state_is_made_once() -> None:
    """Of one history of four: its tokens before and after a gap, and pairs of the gaps that are asked for."""
    rows = LeaveOneOut.of(torch.tensor([4]), 4, torch.tensor([0, 0, 0]), torch.tensor([-1, 1, 0]), newest_first=True)
    assert rows.state.tolist()[0] == [4, 5, 6, 7]  # all of it is as after a gap
    assert rows.state.tolist()[1][:3] == [0, 11, 12]  # the oldest item before the gap, then two that see it
    assert rows.state.tolist()[2][:3] == [8, 9, 10]
    assert len(rows.states) == 13


@pytest.mark.parametrize("why", ["masked", "fusion"])
def test_where_states_are_not_made_of_what_is_older_alone_no_item_can_be_left_out(why: str) -> None:
    fusion = CrossView(embedding_size=D, dropout=0.0, causal=True, residual=True) if why == "fusion" else None
    assert not recommender(masked=why == "masked", views=2, fusion=fusion).leaves_one_out


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_items_that_are_looked_up_are_read_as_those_made_of_their_text(masked: bool, shared: bool) -> None:
    model = recommender(masked=masked, views=2, shared=shared)
    model.tables["semantic"] = AdaptedTable(torch.randn(N + 1, 5), D, scaled=True)
    histories = torch.tensor([[3, 5, 1], [2, 0, 0], [0, 0, 0]])
    scorer = NeuralScorer(model.eval())
    torch.testing.assert_close(scorer.represent(histories), model.represent(histories))
    calls: list[int] = []
    model.tables["semantic"].register_forward_hook(lambda *_: calls.append(1))
    scorer.represent(histories)
    assert bool(calls) == masked  # the mask is no candidate


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
def test_the_newest_state_alone_is_that_of_all_states(name: str, layers: int) -> None:
    """Histories of different lengths, an empty one among them."""
    torch.manual_seed(1)
    encoder = ENCODERS[name](embedding_size=D, layers=layers, heads=2, dropout=0.0, causal=True).eval()
    real = torch.tensor([[True] * 5, [True, True, False, False, False], [False] * 5])
    x = torch.randn(3, 5, D)
    expected = last_state(encoder(x, real), real.sum(1))
    assert isinstance(encoder, AttentionEncoder)
    torch.testing.assert_close(encoder.newest(x, real), expected)


@pytest.mark.parametrize(("masked", "read"), [(False, 4), (True, 3)])
def test_only_the_newest_items_are_read(masked: bool, read: int) -> None:
    """A masked model keeps one place for the mask."""
    model = recommender(masked=masked)
    long = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 2, 0, 0, 0, 0]])
    torch.testing.assert_close(model.represent(long)[0], model.represent(long[:1, -read:])[0])
    torch.testing.assert_close(model.represent(long)[1], model.represent(torch.tensor([[7, 2]]))[0])


def test_views_are_the_columns_they_say() -> None:
    model = recommender(views=2, shared=False)
    scorer = NeuralScorer(model)
    sequences = torch.tensor([[1, 2, 3]])
    parts = [
        scorer.represent(sequences)[:, view] @ scorer.item_matrix()[:, view].T for view in scorer.view_slices.values()
    ]
    assert list(scorer.view_slices) == ["collaborative", "semantic"]
    torch.testing.assert_close(sum(parts), scorer.score(sequences))
    collaborative = model.tables["collaborative"]
    assert isinstance(collaborative, IdTable)
    torch.testing.assert_close(scorer.item_matrix()[N, :D], collaborative.weight()[N].detach())


def test_one_shared_encoder_equals_the_same_encoder_twice() -> None:
    shared, separate = recommender(views=2), recommender(views=2, shared=False)
    for encoder in separate.encoders:
        encoder.load_state_dict(shared.encoders[0].state_dict())
    assert shared.positions is not None
    assert separate.positions is not None
    separate.positions.load_state_dict(shared.positions.state_dict())
    separate.tables.load_state_dict(shared.tables.state_dict())
    items = torch.tensor([[1, 2, 3], [4, 0, 0]])
    torch.testing.assert_close(shared.encode(items), separate.encode(items))


@pytest.mark.parametrize("residual", [False, True])
def test_cross_attention_is_blind_to_padding_and_the_future(residual: bool) -> None:
    torch.manual_seed(1)
    fusion = CrossView(embedding_size=D, dropout=0.0, causal=True, residual=residual).eval()
    model = recommender(views=2, fusion=fusion)
    before = model.encode(torch.tensor([[1, 2, 3, 0]]))
    after = model.encode(torch.tensor([[1, 2, 6, 0]]))
    # positions count from the newest item, so compare sequences of the same length only
    torch.testing.assert_close(before[0, :2], after[0, :2])
    assert not torch.allclose(before[0, 2], after[0, 2])


def test_each_view_keeps_its_own_values_in_cross_attention() -> None:
    """Queries of the other view only decide where to look: where they say nothing, a view depends on itself alone."""
    torch.manual_seed(1)
    fusion = CrossView(embedding_size=D, dropout=0.0, causal=True, residual=False).eval()
    for attention in (fusion.collaborative, fusion.semantic):
        torch.nn.init.zeros_(attention.query.weight)
        torch.nn.init.zeros_(attention.query.bias)
    collaborative, semantic, other = torch.randn(3, 1, 4, D)
    real = torch.ones(1, 4, dtype=torch.bool)
    before, after = fusion(collaborative, semantic, real), fusion(collaborative, other, real)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_semantic_knn_is_the_best_cosine_to_the_history() -> None:
    text = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    scores = SemanticKnnScorer(text).score(torch.tensor([[1, 2], [2, 0]]))
    half = 0.5**0.5
    torch.testing.assert_close(scores[:, 1:], torch.tensor([[1.0, 1.0, half], [0.0, 1.0, half]]))
    faded = SemanticKnnScorer(text, decay=0.5).score(torch.tensor([[1, 2], [2, 0]]))  # half of item 1, all of item 2
    torch.testing.assert_close(faded[:, 1:], torch.tensor([[0.5, 1.0, 1.5 * half], [0.0, 1.0, half]]))
