"""Maps as artifacts: what a reference stands for, what is stored, what is refused."""

import json
from typing import Any

import numpy as np
import pytest
from factories import corrupt, make_dataset, make_embedding, make_run

from llmesr.config import RunConfig
from llmesr.data.dataset import Dataset
from llmesr.errors import UserError
from llmesr.maps.make import find_map, load_map, make_map
from llmesr.maps.projection import MapConfig
from llmesr.maps.spaces import available, choose, mixed, open_space, parts_of, vectors
from llmesr.models.scorers import DotScorer
from llmesr.runs.record import MODEL, Run
from llmesr.store import Store
from llmesr.training.train import train

PCA = MapConfig(umap=False, neighbours=5, sample=100)


@pytest.fixture
def trained(store: Store, tiny: Dataset) -> Run:
    make_embedding(store, tiny)
    config = RunConfig.read(
        None, method="llm-esr", epochs=1, embedding_size=8, layers=1, max_length=10, distillation="off"
    )
    return train(tiny, config, store, device="cpu")


def test_a_dataset_stands_for_its_text_and_its_newest_run(store: Store, tiny: Dataset, trained: Run) -> None:
    text = f"embedding:{store.list('embeddings')[0].id}"
    views = [f"run:{trained.id}:collaborative", f"run:{trained.id}:adapted"]
    assert choose(store, [tiny.name]) == (tiny.id, [text, *views])
    assert choose(store, [trained.id]) == (tiny.id, [text, *views])
    assert choose(store, [views[1], trained.id])[1] == [views[1], text, views[0]]
    assert [s.spec for s in available(store, tiny)] == [text, *views]
    assert [s.part for s in available(store, tiny)] == ["semantic", "collaborative", "adapted"]


def test_a_dataset_stands_for_what_behaviour_alone_made_as_well(store: Store, tiny: Dataset, trained: Run) -> None:
    text = f"embedding:{store.list('embeddings')[0].id}"
    behaviour, started = (store_model(make_run(store, tiny, method)) for method in ("ease", "llm-init"))
    assert choose(store, [tiny.name]) == (
        tiny.id,
        [text, f"run:{behaviour.id}:collaborative", f"run:{started.id}:collaborative"],
    )


def store_model(run: Run) -> Run:
    (run.folder / MODEL).write_bytes(b"")
    return run


def test_how_text_got_into_what_is_called_collaborative(store: Store, tiny: Dataset) -> None:
    beside: dict[str, Any] = {"item_init": "random"}
    alone = {**beside, "semantic_view": False, "distillation": "off"}
    cases: list[tuple[str, dict[str, Any], str]] = [(m, {}, "") for m in ("id", "item-knn", "markov", "ease", "ials")]
    cases += [
        ("text-ease", {}, "is made from the text as well"),
        ("llm-init", {}, "begins from the text"),
        ("llm-init", beside, ""),
        ("llm-esr", {}, "begins from the text"),
        ("llm-esr", beside, "was learned beside the text"),
        ("llm-esr", alone, ""),
    ]
    for method, settings, expected in cases:
        config = RunConfig.read(None, method=method, **settings)
        run = Run.create(store, config, [tiny.manifest], name="some", device="cpu")
        assert mixed(run) == expected, (method, settings)


def test_a_run_that_learned_from_one_that_reads_text_says_so(store: Store, tiny: Dataset) -> None:
    for method, expected in (("text-ease", "was learned with a run that reads the text"), ("ease", "")):
        teacher = make_run(store, tiny, method)
        config = RunConfig(method="id", teacher=teacher.id, teacher_weight=1.0)
        run = Run.create(store, config, [tiny.manifest, teacher.manifest], name="taught", device="cpu")
        assert mixed(run) == expected


def test_a_map_of_three_spaces_holds_places_neighbours_gap_and_trust(store: Store, tiny: Dataset, trained: Run) -> None:
    _, specs = choose(store, [trained.id])
    made = make_map(tiny, specs, PCA, store)
    assert list(made.keys.values()) == ["semantic", "collaborative", "adapted"]
    assert made.methods == ["pca"]
    assert made.points["item"].tolist() == list(range(1, tiny.n_items + 1))
    assert made.neighbours["semantic"].shape == (tiny.n_items, 5)
    for a, b in (("semantic", "collaborative"), ("semantic", "adapted"), ("collaborative", "adapted")):
        apart, turned = made.gap(a, b), made.gap(b, a)
        assert apart is not None
        assert turned is not None
        assert 0 < apart.mean() < 1
        assert turned.tolist() == apart.tolist()
    assert made.gap("semantic", "semantic") is None
    assert 0.3 < made.trustworthiness("semantic", "pca") <= 1
    assert {p.kind for p in made.manifest.parents} == {"datasets", "embeddings", "runs"}
    assert made.manifest.seed == 42
    assert made.manifest.config["neighbours"] == 5
    again = make_map(tiny, specs, PCA, store)
    assert again.manifest.created == made.manifest.created  # reused
    assert find_map(store.list("maps"), specs[1:]) == made.manifest
    assert find_map(store.list("maps"), [*specs, "run:other:adapted"]) is None


def test_users_are_drawn_from_the_training_part(store: Store, tiny: Dataset, trained: Run) -> None:
    _, specs = choose(store, [trained.id])
    made = make_map(tiny, specs, PCA.but(of="users"), store)
    assert made.points["user"].tolist() == list(range(tiny.n_users))
    space = open_space(store, specs[1], tiny)
    users = vectors(store, space, tiny, "users")
    assert users.shape == (tiny.n_users, 8)
    assert (users.any(axis=1) == (tiny.split.train_lengths > 0)).all()


def test_the_last_item_has_its_own_vector(store: Store, tiny: Dataset, trained: Run) -> None:
    from llmesr.training.load import load_scorer

    space = open_space(store, f"run:{trained.id}:collaborative", tiny)
    table = vectors(store, space, tiny)
    assert table.shape == (tiny.n_items, 8)
    scorer = load_scorer(trained)
    assert isinstance(scorer, DotScorer)
    matrix = scorer.item_matrix()
    np.testing.assert_array_equal(table[-1], matrix[tiny.n_items, :8].numpy())
    assert table[-1].any()


def test_which_parts_a_run_has(store: Store) -> None:
    dataset = make_dataset(store, users=40, items=25)
    for method, expected in {
        "popularity": [],
        "id": ["collaborative"],
        "llm-init": ["collaborative"],
        "adapter": ["adapted"],
        "llmemb": ["adapted"],
        "codes": ["adapted"],
        "language": ["adapted"],
        "generative": ["adapted"],
        "llm-esr": ["collaborative", "adapted"],
    }.items():
        run = make_run(store, dataset, method)
        assert parts_of(run) == []  # no model written yet
        (run.folder / MODEL).write_bytes(b"")
        assert parts_of(run) == expected, method


def test_what_cannot_be_drawn_is_refused_with_the_reason(store: Store, tiny: Dataset) -> None:
    with pytest.raises(UserError, match="no embedding and no trained run yet; run `llmesr embed"):
        choose(store, [tiny.name])
    make_embedding(store, tiny)
    other = make_dataset(store, name="other", users=30, items=20)
    make_embedding(store, other)
    with pytest.raises(UserError, match="A map shows one dataset"):
        choose(store, [tiny.name, other.name])
    with pytest.raises(UserError, match="is not a space"):
        open_space(store, "nonsense", tiny)
    run = make_run(store, tiny, "popularity")
    with pytest.raises(UserError, match="has no item vectors to draw"):
        choose(store, [run.id])
    with pytest.raises(UserError, match="no collaborative space; it has nothing"):
        open_space(store, f"run:{run.id}:collaborative", tiny)
    foreign = store.list("embeddings")[0].id
    with pytest.raises(UserError, match="belongs to dataset"):
        open_space(store, f"embedding:{foreign}", tiny)


def test_a_damaged_map_says_so(store: Store, tiny: Dataset) -> None:
    embedding = make_embedding(store, tiny)
    made = make_map(tiny, [f"embedding:{embedding.id}"], PCA, store)
    corrupt(store, "maps", made.id, "points")
    with pytest.raises(UserError, match=r"is damaged.*draw it again"):
        load_map(store, made.id)


def test_every_setting_of_a_map_is_read(store: Store, tiny: Dataset) -> None:
    embedding = make_embedding(store, tiny)
    made = make_map(tiny, [f"embedding:{embedding.id}"], PCA, store)
    assert set(made.manifest.config) == set(MapConfig.model_fields)
    assert MapConfig().epochs_for(10_000) == 500
    assert MapConfig().epochs_for(10_001) == 200
    assert MapConfig(epochs=7).epochs_for(50) == 7


@pytest.mark.slow  # imports and compiles umap-learn
def test_the_command_prints_the_id_of_a_map_with_umap(
    store: Store, tiny: Dataset, trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    from llmesr.cli.main import app

    app(["map", tiny.name, "--set", "epochs=20", "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    made = load_map(store, document["id"])
    assert made.methods == ["umap", "pca"]
    assert np.isfinite(made.xy("collaborative", "umap")).all()
    assert set(document["trustworthiness"]["semantic"]) == {"pca", "umap"}
