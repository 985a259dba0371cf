"""Every method with every backbone: born tested."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import torch

from llmesr.config import UNTRAINED, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.encoders import ENCODERS
from llmesr.methods import METHODS, Inputs, build
from llmesr.models.adapted_table import Directions
from llmesr.models.code_tree import told_apart
from llmesr.models.residual import scorer_of
from llmesr.models.scorers import NeuralScorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.objectives.base import EncodedBatch

N, E, USERS = 11, 6, 5


class Blocks(torch.nn.Module):
    """A text model of two blocks, smaller than any that is stored."""

    width, positions, decoder, blocks = 12, 64, False, 2

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Parameter(torch.randn(9, self.width), requires_grad=False)
        self.places = torch.nn.Embedding(self.positions, self.width).requires_grad_(False)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(self.width, self.width) for _ in range(self.blocks))

    def forward(self, vectors: torch.Tensor, seen: list[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
        x: torch.Tensor = vectors + self.places(places)
        for layer, mask in zip(self.layers, seen, strict=True):
            unit = torch.nn.functional.normalize(x, dim=-1)
            x = x + torch.nn.functional.scaled_dot_product_attention(unit, unit, layer(x), attn_mask=mask)
        return x


def behaviour(size: int) -> SequenceModel:
    """A frozen id model."""
    return build(Inputs(n_items=N), config("id", "sasrec", embedding_size=size)).model.eval().requires_grad_(False)


def inputs(size: int = 8) -> Inputs:
    torch.manual_seed(0)
    text = torch.randn(N + 1, E)
    text[0] = 0
    reference = torch.randn(N + 1, size)
    similar = torch.tensor([[1, 2], [0, 2], [0, -1], [-1, -1], [0, 1]])
    directions = {"text": Directions(text[1:].mean(0), torch.linalg.qr(torch.randn(E, E // 2)).Q.T)}
    return Inputs(
        n_items=N,
        text=text,
        reduced=torch.randn(N, size),
        similar=similar,
        reference=reference,
        codes=torch.from_numpy(np.vstack([[0, 0, 0], told_apart(torch.randint(0, 3, (N, 2)).numpy())])).short(),
        directions=directions,
        text_model=Blocks,
        tokens=torch.randint(0, 9, (N + 1, 4)),
        behaviour=behaviour(size),
        chosen=sparse.csr_matrix((torch.rand(USERS, N + 1) > 0.5).float().numpy()),
    )


def config(method: str, backbone: str, **changes: Any) -> RunConfig:
    values: dict[str, Any] = {
        "embedding_size": 8,
        "max_length": 6,
        "dropout": 0.0,
        "method": method,
        "backbone": backbone,
    }
    return RunConfig.read(None, **{**values, **changes})


def loss_of(method: str, backbone: str, **changes: Any) -> float:
    """The loss of one fixed step right after building with one fixed seed."""
    torch.manual_seed(7)
    built = build(inputs(), config(method, backbone, **changes))
    built.model.renew(0)
    torch.manual_seed(8)
    tokens = torch.tensor([[1, 2, 3], [N, 5, 0], [7, 8, 9]])
    states = built.model.encode(tokens)
    batch = EncodedBatch(
        model=built.model,
        users=torch.tensor([0, 1, 2]),
        hidden=states[tokens != 0],
        targets=torch.tensor([2, 3, 4, 5, N, 8, 9, 10]),
        owners=torch.tensor([0, 0, 0, 1, 1, 2, 2, 2]),
        user_states=states[:, 1],
        sample=lambda owners, k: torch.randint(1, N + 1, (len(owners), k)),
    )
    total = torch.zeros(())
    for objective in built.objectives:
        objective.refresh(0, lambda: torch.randn(USERS + 1, states.shape[-1]))
        total = total + objective.weight * objective(batch)
    return float(total.detach())


@pytest.mark.parametrize("backbone", ENCODERS)
@pytest.mark.parametrize("method", METHODS)
def test_scores_rows_and_views_line_up(method: str, backbone: str) -> None:
    model = build(inputs(), config(method, backbone)).model
    scorer = scorer_of(model, None)
    sequences = torch.tensor([[1, 2, 3], [N, 0, 0], [0, 0, 0]])
    scores = scorer.score(sequences)
    assert scores.shape == (3, N + 1)
    assert scores.isfinite().all()
    if not isinstance(scorer, NeuralScorer):  # probabilities, and no product of vectors
        return
    matrix = scorer.item_matrix()
    torch.testing.assert_close(matrix[1:], model.embed_items(torch.arange(1, N + 1)))
    assert not matrix[0].any()
    assert matrix[N].any()  # the last item has its own vector
    parts = [scorer.represent(sequences)[:, v] @ matrix[:, v].T for v in scorer.view_slices.values()]
    torch.testing.assert_close(sum(parts), scores)


@pytest.mark.parametrize("backbone", ENCODERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", ["ce", "bce", "gbce", "sampled"])
def test_every_parameter_learns(method: str, backbone: str, loss: str) -> None:
    """No dead parameter: each one gets a gradient from some batch."""
    built = build(inputs(), config(method, backbone, loss=loss, fusion="residual"))
    built.model.renew(0)
    tokens = torch.tensor([[1, 2, 3, 4, 5, N], [N + 1, 1, N + 1, 2, 0, 0]])
    states = built.model.encode(tokens)
    batch = EncodedBatch(
        model=built.model,
        users=torch.tensor([0, 1]),
        hidden=states.flatten(0, 1)[:8],
        targets=torch.arange(2, 10),
        owners=torch.zeros(8, dtype=torch.long),
        user_states=states[:, 3],
        sample=lambda owners, k: torch.randint(1, N + 1, (len(owners), k)),
    )
    for objective in built.objectives:
        objective.refresh(0, lambda: torch.zeros(USERS + 1, states.shape[-1]))
    torch.stack([o(batch) for o in built.objectives]).sum().backward()
    dead = [n for n, p in built.model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert dead == []


@pytest.mark.parametrize("backbone", ENCODERS)
@pytest.mark.parametrize("method", ["adapter", "llm-esr"])
@pytest.mark.parametrize("fusion", ["none", "residual"])
def test_further_views_are_views_like_the_others(method: str, backbone: str, fusion: str) -> None:
    """Each adds D columns and its part of the score, learns with all its parameters, and is zero for what it lacks."""
    pictures = torch.randn(N + 1, 4)
    pictures[[0, 3]] = 0
    given = replace(inputs(), views={"view_pictures": pictures, "view_sound": torch.randn(N + 1, 7)}, directions=None)
    changes = {"fusion": fusion} if method == "llm-esr" else {}
    model = build(given, config(method, backbone, **changes)).model
    base = ["collaborative", "semantic"] if method == "llm-esr" else ["semantic"]
    assert list(model.view_slices) == [*base, "view_pictures", "view_sound"]
    scorer, sequences = NeuralScorer(model), torch.tensor([[1, 2, 3], [N, 0, 0]])
    matrix = scorer.item_matrix()
    assert matrix.shape == (N + 1, 8 * len(model.view_slices))
    parts = {n: scorer.represent(sequences)[:, v] @ matrix[:, v].T for n, v in scorer.view_slices.items()}
    torch.testing.assert_close(sum(parts.values()), scorer.score(sequences))
    assert not matrix[3, scorer.view_slices["view_pictures"]].any()
    assert not parts["view_pictures"][:, 3].any()
    assert parts["view_pictures"][:, N].all()
    model.train()
    (model.encode(torch.tensor([[1, 2, N + 1]])).square().sum() + model.candidates().square().sum()).backward()
    further = [(n, p) for n, p in model.named_parameters() if n.startswith("tables.view_")]
    assert further
    assert [n for n, p in further if p.grad is None or not p.grad.any()] == []


SWITCHES: list[tuple[str, str, dict[str, Any]]] = [
    ("llm-esr", "sasrec", {"collaborative_view": False}),
    ("llm-esr", "sasrec", {"semantic_view": False}),
    ("llm-esr", "sasrec", {"distillation": "off"}),
    ("llm-esr", "sasrec", {"distillation": "contrastive"}),
    ("llm-esr", "sasrec", {"distillation_weight": 3.0}),
    ("llm-esr", "sasrec", {"neighbours": 1}),
    ("llm-esr", "sasrec", {"shared_encoder": False}),
    ("llm-esr", "sasrec", {"fusion": "cross_attention"}),
    ("llm-esr", "sasrec", {"fusion": "residual"}),
    ("llm-esr", "sasrec", {"adapter_layers": 1}),
    ("llm-esr", "sasrec", {"item_init": "random"}),
    ("llm-esr", "sasrec", {"causal": False}),
    ("llm-esr", "sasrec", {"positions": "start"}),
    ("llm-esr", "sasrec", {"loss": "bce"}),
    ("llm-esr", "sasrec", {"loss": "gbce"}),
    ("llm-esr", "sasrec", {"loss": "sampled", "negatives": 5}),
    ("llm-esr", "sasrec", {"layers": 1}),
    ("llm-esr", "sasrec", {"heads": 2}),
    ("llm-init", "gru4rec", {"item_init": "random"}),
    ("id", "sasrec", {"graph_steps": 1}),
    ("llm-init", "sasrec", {"graph_steps": 2}),
    ("llm-esr", "sasrec", {"graph_steps": 1, "item_init": "random"}),
    ("codes", "sasrec", {"item_init": "random"}),
    ("codes", "sasrec", {"codebook_size": 64}),
    ("generative", "sasrec", {"item_init": "random"}),
    ("generative", "gru4rec", {"codebook_size": 64}),
    ("language", "sasrec", {"history_input": "tokens"}),
    ("language", "sasrec", {"attention": "item_local"}),
    ("language", "sasrec", {"attention": "alternating"}),
    ("language", "sasrec", {"prefix": "none"}),
    ("language", "sasrec", {"prefix": "collaborative"}),
    ("language", "sasrec", {"prefix_tokens": 3}),
    ("language", "sasrec", {"inject": True}),
    ("language", "sasrec", {"temperature": 0.5}),
    ("language", "sasrec", {"loss": "bce"}),
    ("llmemb", "sasrec", {"graph_steps": 1, "adapter": False}),
    ("adapter", "sasrec", {"adapter_init": "random"}),
    ("llm-esr", "sasrec", {"adapter_init": "pca"}),
    ("llmemb", "sasrec", {"alignment_loss": "inner_product"}),
    ("llmemb", "sasrec", {"alignment_weight": 1.0}),
    ("llmemb", "sasrec", {"alignment_temperature": 0.5}),
    ("llmemb", "sasrec", {"adapter": False}),
]


@pytest.mark.parametrize(("method", "backbone", "change"), SWITCHES, ids=lambda v: str(v))
def test_every_switch_changes_the_loss(method: str, backbone: str, change: dict[str, Any]) -> None:
    assert loss_of(method, backbone) == loss_of(method, backbone)
    assert loss_of(method, backbone) != loss_of(method, backbone, **change)


@pytest.mark.parametrize("method", ["id", "llm-init", "llm-esr"])
def test_steps_over_the_graph_have_a_weight(method: str) -> None:
    once = loss_of(method, "sasrec", graph_steps=1)
    assert once not in (loss_of(method, "sasrec", graph_steps=2), loss_of(method, "sasrec"))
    assert once != loss_of(method, "sasrec", graph_steps=1, graph_weight=0.5)
    for off in ({"graph_steps": 0, "graph_weight": 0.5}, {"graph_steps": 3, "graph_weight": 0.0}):
        assert loss_of(method, "sasrec", **off) == loss_of(method, "sasrec")


@pytest.mark.parametrize(("loss", "change"), [("bce", {"negatives": 4}), ("gbce", {"calibration": 0.1})])
def test_sampled_losses_read_their_settings(loss: str, change: dict[str, Any]) -> None:
    assert loss_of("id", "sasrec", loss=loss) != loss_of("id", "sasrec", loss=loss, **change)


@pytest.mark.parametrize("method", ["adapter", "llm-esr", "llmemb"])
def test_freezing_the_text_is_a_switch(method: str) -> None:
    for frozen in (True, False):
        model = build(inputs(), config(method, "sasrec", freeze_text=frozen)).model
        assert ("tables.semantic.text" in dict(model.named_parameters())) is not frozen


def test_untrained_methods_are_not_built() -> None:
    assert not set(UNTRAINED) & set(METHODS)


def test_every_setting_is_read_somewhere() -> None:
    """A field of RunConfig that no code looks at, but for the settings' own, is a silent switch."""
    from pathlib import Path

    import llmesr

    root = Path(llmesr.__file__).parent
    code = "\n".join(p.read_text() for p in root.rglob("*.py") if p.parent.name != "config" or p.name == "needs.py")
    unread = [f for f in RunConfig.model_fields if f"config.{f}" not in code]
    assert unread == []


def test_popularity_ranks_by_training_counts(tiny: Dataset) -> None:
    from llmesr.models.scorers import PopularityScorer

    scores = PopularityScorer(tiny.item_counts).score(torch.zeros(1, 1, dtype=torch.long))
    counted = np.bincount(
        np.concatenate([tiny.history(u)[: tiny.split.train_lengths[u]] for u in range(tiny.n_users)]),
        minlength=tiny.n_items + 1,
    )
    assert scores[0].tolist() == counted.tolist()
