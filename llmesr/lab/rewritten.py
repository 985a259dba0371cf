"""A run as it scores items under another text: which runs can, and how each kind of scorer takes it.

What a run computes from text is computed from the new text: cosines, adapted vectors, the columns of text-ease. What it
learned from choices stays as it is for an item that has some, and for a new item is what training leaves an item that
hardly anybody chooses: no weights in a linear model, and in a table of id vectors the common part of its rarest rows.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from llmesr.config import BLEND, EXTERNAL, RunConfig
from llmesr.data.dataset import Dataset
from llmesr.data.unit_rows import unit_rows
from llmesr.encoders.language import LanguageEncoder, VectorPieces
from llmesr.errors import UserError
from llmesr.lab.change import Change
from llmesr.linear.build import Source, solved_again
from llmesr.linear.factors import FactorScorer
from llmesr.linear.fallback import Fallback
from llmesr.linear.kernel import centred
from llmesr.linear.scorer import LinearScorer
from llmesr.models.adapted_table import AdaptedTable
from llmesr.models.blend import BlendScorer
from llmesr.models.boosted import BoostedScorer, Usual
from llmesr.models.folded import Folded
from llmesr.models.read_table import ReadTable
from llmesr.models.rows import placed
from llmesr.models.scorers import NeuralScorer, PopularityScorer, Scorer, SemanticKnnScorer, WritingScorer
from llmesr.models.sequence_model import SequenceModel
from llmesr.models.tables import CodesTable, IdTable
from llmesr.runs.record import Run, list_runs
from llmesr.scoring.ground import Ground
from llmesr.scoring.linear_term import READS_TEXT, LinearKind, LinearTerm, made_again, make
from llmesr.scoring.scored_run import ScoredRun, Shared, model_run, own_policy
from llmesr.semantic.embed import Embedding, load_embedding
from llmesr.store import Store
from llmesr.training.text_tables import (
    compared_further,
    open_views,
    reducer,
    starts_from_text,
    view_tables,
    words_table,
)

RARE = 0.05
"""Share of the items, those chosen least, whose id vectors say what training makes of one that nobody chooses."""


def can_score_new(run: Run) -> bool:
    """Whether a run scores an item by its text, so that it can place one that nobody chose yet; known from what it was
    made with."""
    policy = own_policy(run)
    if policy is not None and (policy.gamma or (policy.linear and policy.linear_kind in READS_TEXT)):
        return True
    return any(_reads_text(one.config) for one in _summands(model_run(run)))


def check(store: Store, run: Run) -> None:
    """UserError for a run that knows an item only by who chose it; it names one that does not, where there is one."""
    if can_score_new(run):
        return
    others = [r for r in list_runs(store, run.dataset_id) if r.status().state == "SUCCEEDED" and can_score_new(r)]
    ask = (
        f"Ask {others[0].id} ({others[0].label}) instead."
        if others
        else "Train one that does, such as `--method text-ease`, or tune this one with a content term."
    )
    knows = (
        "knows an item by codes that were made of all texts before it was trained; a new item has none, and one whose "
        "text changes keeps its own"
        if model_run(run).config.method in ("codes", "generative")
        else "knows an item only by what training left of it, so another text moves nothing and an item that nobody "
        "chose yet cannot be scored"
    )
    raise UserError(f"Run {run.id!r} ({run.label}) {knows}. {ask}")


def _reads_text(config: RunConfig) -> bool:
    """Whether a model computes the vector or the weights of an item from its text."""
    if config.method == "text-ease":
        return config.text_weight > 0
    if config.method == "llm-esr":
        return config.semantic_view and config.freeze_text
    if config.method == "llmemb":
        return config.adapter and config.freeze_text
    if config.method == "language":
        return config.history_input == "vectors"
    return config.method == "semantic-knn" or (config.method == "adapter" and config.freeze_text)


def _summands(run: Run) -> Iterator[Run]:
    """The runs whose scores are added up: those of a blend, a model and its base, else the run alone."""
    if run.config.method == EXTERNAL:
        return
    if run.config.method == BLEND:
        for id in run.manifest.info["blend"]["runs"]:
            if run.store.exists("runs", id):
                yield from _summands(Run(run.store, id))
        return
    yield run
    if run.config.base is not None and run.store.exists("runs", run.config.base):
        yield from _summands(Run(run.store, run.config.base))


def changed(scored: ScoredRun, change: Change) -> ScoredRun:
    """``scored`` with other texts: an item's own scores follow its new text, those of all others stay.

    UserError for a run that scores no item by its text.
    """
    check(scored.store, scored.run)
    dataset = change.applied(scored.dataset)
    embedding = scored.embedding
    if embedding is not None:
        vectors = change.vectors(embedding, scored.store)
        ids = change.catalogue["item_id"].to_numpy(object)
        embedding = replace(embedding, items=vectors, item_ids=ids)
    rewriting = _Rewriting(scored, change, dataset)
    scorer = rewriting.of(scored.scorer, scored.model_run)
    return ScoredRun(
        scored.store,
        scored.run,
        scored.device,
        scorer=scorer,
        dataset=dataset,
        embedding=embedding,
        part=scored.part,
        shared=Shared(dataset, embedding, rewriting.ground(scored, embedding), scored.part),
    )


class _Rewriting:
    def __init__(self, scored: ScoredRun, change: Change, dataset: Dataset) -> None:
        self.store, self.device, self.change = scored.store, scored.device, change
        self.before = scored.dataset
        self.trained_on = dataset.training_for(scored.part)
        self.counts = np.asarray(self.trained_on.item_counts)
        self.touched = torch.from_numpy(change.touched).to(self.device)
        self.newcomers = torch.from_numpy(change.newcomers).to(self.device)
        self._made: dict[int, Scorer] = {}

    def of(self, scorer: Scorer, run: Run) -> Scorer:
        """``scorer``, which is that of ``run``, for the changed catalogue; each is made once."""
        if id(scorer) not in self._made:
            self._made[id(scorer)] = self._of(scorer, run)
        return self._made[id(scorer)]

    def _of(self, scorer: Scorer, run: Run) -> Scorer:
        if isinstance(scorer, Folded):
            return Folded([self.of(one, run) for one in scorer.scorers], scorer.fold)
        if isinstance(scorer, BlendScorer):
            return self._blend(scorer, run)
        if isinstance(scorer, BoostedScorer):
            usual = Usual(*(self._as_rarest(table) for table in scorer.usual))
            counts = F.pad(scorer.log_counts, (0, self._more))
            return BoostedScorer(self._blend(scorer.blend, run), scorer.trees, counts, usual)
        if isinstance(scorer, PopularityScorer):
            return PopularityScorer(self.counts, self.device)
        if isinstance(scorer, SemanticKnnScorer):
            return self._knn(scorer, run)
        if isinstance(scorer, FactorScorer):  # a new item has no factors: iALS gives zeros to one that nobody chose
            grown = copy.copy(scorer)
            grown.factors, grown.n_items = F.pad(scorer.factors, (0, 0, 0, self._more)), self.change.n_items
            return grown
        if isinstance(scorer, LinearScorer):
            return self._linear(scorer, run)
        if isinstance(scorer, WritingScorer):  # a new item has no codes to be written by
            writing = copy.copy(scorer)
            writing.n_items = self.change.n_items
            return writing
        if isinstance(scorer, NeuralScorer):
            return self._neural(scorer, run)
        raise TypeError(f"no way to give {type(scorer).__name__} another text")

    def ground(self, scored: ScoredRun, embedding: Embedding | None) -> Ground:
        """What terms know: of all other items what they knew before."""
        text = None if embedding is None else embedding.padded()
        before = None if scored.embedding is None else scored.embedding.padded()
        folder = None if self._more else self.store.path("datasets", self.before.id)  # of a grown one nothing is kept

        def linear(kind: LinearKind) -> LinearTerm:
            if kind not in READS_TEXT:
                return make(kind, self.trained_on, text, self.device, folder)
            old, new = (
                Source(data, None if rows is None else torch.from_numpy(rows), device=self.device)
                for data, rows in ((self.before.training_for(scored.part), before), (self.trained_on, text))
            )
            return made_again(kind, old, new, self.touched)

        return Ground(
            item_counts=torch.from_numpy(self.counts),
            train_lengths=torch.from_numpy(np.asarray(self.before.split.train_lengths)),
            thresholds=self.before.thresholds,
            text=text,
            linear=linear,
            device=self.device,
            evened_like=before,
        )

    @property
    def _more(self) -> int:
        return self.change.n_items - self.before.n_items

    def _embedding(self, run: Run) -> Embedding:
        return load_embedding(self.store, str(run.manifest.parent("embeddings")))

    def _text(self, run: Run) -> Tensor:
        """(N' + 1, E) as the run reads it."""
        return self.change.padded(self._embedding(run), self.store).to(self.device)

    def _knn(self, scorer: SemanticKnnScorer, run: Run) -> SemanticKnnScorer:
        """The changed items in the space of the others, which would all move with a space that is made anew."""
        grown, items = copy.copy(scorer), self.change.items
        grown.n_items = self.change.n_items
        grown.vectors = torch.cat([scorer.vectors, scorer.vectors.new_zeros(self._more, scorer.vectors.shape[1])])
        if len(items):
            before, at = torch.from_numpy(self._embedding(run).padded()).to(self.device), torch.from_numpy(items)
            rows = self.change.catalogue.iloc[items - 1]
            found = compared_further(run.config, self.before, before, rows, self._text(run)[at])
            grown.vectors[at] = unit_rows(found)
        return grown

    def _blend(self, scorer: BlendScorer, run: Run) -> BlendScorer:
        if run.config.method == BLEND:
            ids = run.manifest.info["blend"]["runs"]
        else:
            ids = [run.config.base, None]
        members = [
            self.of(member, Run(self.store, id)) if id else self._neural(member, run)
            for member, id in zip(scorer.members, ids, strict=True)
        ]
        # Weights follow popularity and are level below the rarest item: a new one has its weights.
        return BlendScorer(members, self._as_rarest(scorer.weights), self._as_rarest(scorer.bias))

    def _as_rarest(self, table: Tensor) -> Tensor:
        """(..., N + 1) -> (..., N' + 1): of new items what the rarest of the others has."""
        rarest = int(self.counts[1 : self.before.n_items + 1].argmin()) + 1
        return torch.cat([table, table[..., [rarest]].expand(*table.shape[:-1], self._more)], -1)

    def _linear(self, scorer: LinearScorer, run: Run) -> LinearScorer:
        reads = run.config.method == "text-ease"
        text = self._text(run) if reads else None
        source = Source(self.trained_on, text, self._views(run) if reads else {}, self.device)
        weights = solved_again(scorer.weights, source, run.config, self.touched)
        fallback = scorer.fallback
        if fallback is not None:
            vectors = None
            if fallback.vectors is not None and text is not None:
                vectors = centred(text, torch.from_numpy(self._embedding(run).padded()).to(self.device))
            sizes = {"popularity": fallback.popularity, "content": fallback.content}
            fallback = Fallback(torch.from_numpy(self.counts).to(self.device), vectors=vectors, **sizes)
        return LinearScorer(weights, decay=scorer.decay, fallback=fallback, device=self.device)

    def _views(self, run: Run) -> dict[str, Tensor]:
        """Further views: of pictures and sound a new item has none, its words are counted."""
        tables = view_tables(open_views(run.config, self.store, self.before), self.device)
        grown = {name: F.pad(table, (0, 0, 0, self._more)) for name, table in tables.items()}
        return grown | words_table(run.config, self.trained_on, self.device)

    @torch.no_grad()
    def _neural(self, scorer: Scorer, run: Run) -> NeuralScorer:
        if not isinstance(scorer, NeuralScorer):
            raise TypeError(f"a sequence model is expected, not {type(scorer).__name__}")
        model = copy.deepcopy(scorer.model)
        for name, table in model.tables.items():
            if isinstance(table, IdTable):
                table.place(self.newcomers, self._unchosen(table, run))
            elif isinstance(table, CodesTable):  # the groups of texts are not kept: as an item without text
                table.place(self.newcomers, table.codes.new_zeros(len(self.newcomers), table.codes.shape[1]))
            elif isinstance(table, AdaptedTable) and name == "semantic":
                table.place(self.touched, self._text(run)[self.touched])
            elif isinstance(table, AdaptedTable):  # a further view, which a new item does not have
                table.place(self.newcomers, table.text.new_zeros(len(self.newcomers), table.text.shape[1]))
        if isinstance(reader := model.encoders[0], LanguageEncoder):
            self._read_anew(model, reader, run)
        model.n_items = self.change.n_items
        return NeuralScorer(model, self.device)

    def _read_anew(self, model: SequenceModel, reader: LanguageEncoder, run: Run) -> None:
        """The text model reads the changed items; of who chose a new one it is told what is common to the others."""
        if isinstance(told := reader.behaviour, SequenceModel):
            table = told.tables["collaborative"]
            if isinstance(table, IdTable):
                table.place(self.newcomers, table.vectors[1:-1].mean(0).expand(len(self.newcomers), -1))
        again = self.touched if isinstance(reader.pieces, VectorPieces) else self.newcomers
        table = model.tables["semantic"]
        if not isinstance(table, ReadTable):
            raise TypeError(f"a text model makes the vectors of its items itself, not {type(table).__name__}")
        if not len(again):
            return
        known = ~torch.isin(again, self.newcomers)
        before = model.read_items(again[known]) if known.any() else table.states[:0]
        reader.pieces.place(again, self._text(run)[again], placed)
        states = model.read_items(again)
        # What is kept was read early in training: an item moves by as much as the other text makes it move now.
        states[known] += table.states[again[known]] - before
        table.place(again, states)

    def _unchosen(self, table: IdTable, run: Run) -> Tensor:
        """(new items, D) id vectors of items that nobody chose: where training would start them, and from there as far
        as it took the items chosen least, on average."""
        counts = self.counts[1 : self.before.n_items + 1]
        rarest = torch.from_numpy(np.flatnonzero(counts <= np.quantile(counts, RARE)) + 1)
        learned = table.vectors[rarest.to(self.device)]
        if not starts_from_text(run.config):
            return learned.mean(0).expand(len(self.newcomers), -1)
        embedding = self._embedding(run)
        start = reducer(embedding.item_vectors, run.config.embedding_size)
        moved = (learned - start(embedding.item_vectors[rarest.numpy() - 1]).to(self.device)).mean(0)
        return start(self._text(run)[self.newcomers].cpu().numpy()).to(self.device) + moved
