"""Every setting of a training run, in the order of forms and docs: the method and its encoder, what it learns from and
how, what linear methods and text neighbours ask for, the optimisation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from llmesr.config.base import Config, Seed
from llmesr.config.groups import RANK_METRIC, GroupName, Protocol
from llmesr.config.methods import BackboneName, MethodName


class RunSettings(Config):
    """The settings alone; what they must fulfil together is in :class:`llmesr.config.run.RunConfig`."""

    method: MethodName = Field("llm-esr", description="The method: how items are represented and what is learned.")
    backbone: BackboneName = Field("sasrec", description="The sequence encoder.")
    # the encoder
    embedding_size: int = Field(64, ge=4, description="Size D of item and user representations (per view).")
    layers: int = Field(2, ge=1, le=12, description="Encoder blocks (GRU layers).")
    heads: int = Field(1, ge=1, description="Attention heads of the encoder; must divide embedding_size.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout in embeddings and encoder.")
    max_length: int = Field(50, ge=2, description="Number of most recent interactions the model reads.")
    causal: bool = Field(True, description="SASRec reads only the past at each position; the authors' code does not.")
    positions: Literal["recent", "start"] = Field(
        "recent", description="Positions counted back from the newest item, or from the oldest."
    )
    mask_ratio: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="BERT4Rec: share of positions masked in half of the rows it is trained on; in the other half the "
        "newest item alone is, as when it recommends.",
    )
    # next-item objective
    loss: Literal["ce", "bce", "gbce", "sampled"] = Field(
        "ce", description="Cross-entropy over the full catalogue, or a sampled loss."
    )
    negatives: int | None = Field(
        None,
        ge=1,
        description="Negatives: uniform ones of each position for bce (1) and gbce (128), shared for sampled (1024).",
    )
    popular_negatives: float = Field(
        0.0,
        ge=0,
        le=1,
        description="sampled: share of the negatives that is drawn by how often an item was chosen, not uniformly; on "
        "large catalogues popularity is learned sooner.",
    )
    targets: Literal["all", "last"] = Field("all", description="Predict at every position, or only at the newest.")
    all_windows: bool = Field(
        True, description="Histories longer than max_length train in several windows, not only the newest one."
    )
    calibration: float = Field(0.75, ge=0, le=1, description="gBCE calibration t (Petrov and Macdonald 2023).")
    # views (llm-esr)
    collaborative_view: bool = Field(True, description="Use the id embedding view.")
    semantic_view: bool = Field(True, description="Use the frozen text view.")
    fusion: Literal["cross_attention", "residual", "none"] = Field(
        "none",
        description="How the views meet before the encoder: cross-attention (paper), added to each view, or none.",
    )
    shared_encoder: bool = Field(True, description="One encoder for both views, or one each.")
    views: list[str] | None = Field(
        None,
        description="Embeddings of the items (images, sound ...) that are further frozen views beside the text. "
        "text-ease also takes `words`: the words of the texts (TF-IDF).",
    )
    adapter_layers: Literal[1, 2] = Field(2, description="Linear layers from text space to the model.")
    adapter_init: Literal["auto", "pca", "random"] = Field(
        "auto",
        description="Start of the adapter: the main directions of the text, scaled, or random; auto is random in "
        "llm-esr, where it ranks no worse, and pca elsewhere.",
    )
    item_init: Literal["pca", "random"] = Field(
        "pca", description="Start of the id embeddings in llm-init and llm-esr, and of the code vectors in codes."
    )
    graph_steps: int = Field(
        0,
        ge=0,
        le=10,
        description="Steps over the graph of users and items (training part) by which the start of the item vectors is "
        "spread before training: items of the same users start alike. 0: none.",
    )
    graph_weight: float = Field(
        1.0, ge=0, le=1, description="How much of the start comes from those steps; the rest is each item's own."
    )
    codebooks: int = Field(4, ge=1, le=64, description="codes: how many codes each item gets from its text.")
    codebook_size: int = Field(256, ge=2, le=4096, description="codes: how many codes a codebook has, shared by items.")
    quantisation: Literal["projections", "residual"] = Field(
        "projections",
        description="codes: each codebook groups the texts by other directions, or what those before leave over.",
    )
    beam: int = Field(100, ge=1, description="generative: beams of the search where not all items are scored.")
    exhaustive_up_to: int = Field(20_000, ge=0, description="generative: most items that are all scored, exactly.")
    refresh_codes: int = Field(
        5, ge=0, description="generative: epochs after which codes are made anew, with what was learned; 0: never."
    )
    # a text model that reads the history (language)
    language_model: str = Field(
        "auto",
        description="The text model that reads histories: minilm, hf:<id or folder> or gguf:<file>; auto is the one "
        "that embedded the item texts.",
    )
    history_input: Literal["vectors", "tokens"] = Field(
        "vectors", description="What it reads of an item: its text vector as one token, or the tokens of its text."
    )
    item_tokens: int = Field(
        16, ge=2, le=512, description="Tokens of an item's text at the most, its separator included."
    )
    attention: Literal["full", "item_local", "alternating"] = Field(
        "full",
        description="What an item's tokens see in each block: all of the past, only one another, or both in turn.",
    )
    prefix: Literal["none", "learned", "collaborative"] = Field(
        "learned",
        description="Virtual tokens: none, learned ones before everything, or made of an id run's states by experts.",
    )
    prefix_tokens: int = Field(2, ge=1, le=64, description="How many virtual tokens.")
    experts: int = Field(4, ge=1, le=64, description="prefix=collaborative: query experts that a router weighs.")
    balance_weight: float = Field(0.01, ge=0, description="Weight of the term that keeps the router from one expert.")
    inject: bool = Field(False, description="Let an id run's vector of an item follow the item's own tokens.")
    collaborative_run: str | None = Field(
        None, description="The id run for prefix=collaborative and inject; trained automatically when absent."
    )
    lora_rank: int = Field(8, ge=0, le=256, description="Rank of the updates of the text model (LoRA); 0 freezes it.")
    refresh_epochs: int = Field(
        3, ge=1, description="Epochs at whose start the text model reads all items anew (stage 1); then they stay."
    )
    temperature: float = Field(0.05, gt=0, description="tau: scores are cosines / tau.")
    # self-distillation (llm-esr)
    distillation: Literal["mse", "contrastive", "off"] = Field(
        "mse",
        description="Pull a user towards similar users' representations: by their distance (mse), or so that each "
        "tells its own from those of the others in a batch, batch_size of them at most (contrastive).",
    )
    distillation_weight: float = Field(0.1, ge=0, description="alpha of the distillation term.")
    neighbours: int = Field(10, ge=1, description="Similar users that form the teacher.")
    neighbour_recall: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the truly most similar users that the search among many must find; by itself 0.95, and "
        "0.5 from five million users on, where that takes a tenth of the time.",
    )
    teacher_refresh: int = Field(
        0, ge=0, description="Encode all teachers every this many steps of an epoch, and as it begins; 0: then alone."
    )
    # alignment (llmemb)
    alignment_loss: Literal["cosine", "inner_product"] = Field(
        "cosine",
        description="InfoNCE over cosines, or the published soft targets from inner products, which carry little "
        "signal where vectors are short (then set a weight of 0.01 and a temperature of 2).",
    )
    alignment_weight: float = Field(
        0.3, ge=0, description="alpha of the alignment to an id-only run (LLMEmb); 0 switches it off."
    )
    alignment_temperature: float = Field(0.1, gt=0, description="tau of the alignment.")
    alignment_run: str | None = Field(
        None, description="The id-only run to align to; trained automatically when absent."
    )
    # learning from other runs
    base: str | None = Field(
        None,
        description="item-knn, markov, ease or text-ease, or a run of one: its scores are added to the model's by a "
        "learned weight, so that the model learns what a linear one cannot. Solved automatically.",
    )
    teacher: str | None = Field(None, description="A run whose best items the model learns to rank as it does.")
    teacher_weight: float = Field(0.3, ge=0, description="Weight of that imitation; 0 switches it off.")
    teacher_items: int = Field(50, ge=2, description="How many of the teacher's best items count.")
    teacher_popularity: float = Field(
        0.0, ge=0, description="b: the teacher's items count 1 / (1 + n)^b, so that popular ones do not drown the tail."
    )
    freeze_text: bool = Field(True, description="Keep the text table frozen (adapter, llm-esr, llmemb).")
    text_table: Literal["auto", "memory", "file"] = Field(
        "auto",
        description="Where the item text is that an adapter reads. memory: all of it on the device; file: in the "
        "embedding, out of which a step reads the rows that its batch touches and ranking reads all, some at a time. "
        "The model is the same to the last digit; it needs freeze_text, a sampled loss and no teacher. auto: file from "
        "512 MB of text on, where it can be.",
    )
    adapter: bool = Field(True, description="llmemb: learn an adapter; without it the text is reduced by PCA.")
    # text neighbours (semantic-knn)
    compared: Literal["text", "words", "attributes"] = Field(
        "text",
        description="semantic-knn: what of two items is compared: the vectors of their texts, the words of these "
        "(TF-IDF), or the values of attributes that they share, such as a brand.",
    )
    whitening: float = Field(
        0.0, ge=0, le=1, description="semantic-knn: how far the main directions of what is compared are evened out."
    )
    pooling: Literal["nearest", "sum"] = Field(
        "nearest",
        description="semantic-knn: what counts of a history: the item most similar to the candidate, or all of it, an "
        "older item less (decay).",
    )
    # linear methods
    decay: float = Field(
        0.8,
        gt=0,
        le=1,
        description="What an item of the history counts, as a share of the one chosen after it (semantic-knn: where "
        "pooling=sum).",
    )
    item_neighbours: int = Field(
        128,
        ge=1,
        description="Items M that each item has weights for: its nearest, or its strongest others (local solver).",
    )
    shrinkage: float = Field(
        10.0, ge=0, description="item-knn, markov: added to the norm, so that what few users did counts less."
    )
    window: int = Field(5, ge=1, description="markov: steps within which one choice follows another.")
    reverse_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="markov: what a pair counts the other way round; 0 keeps the direction, 1 drops it.",
    )
    ridge: float | None = Field(
        None,
        gt=0,
        description="lambda of the squared weights (ease, text-ease) or factors (ials). When empty 20, but in ease and "
        "text-ease twice the mean length of a training history where that is more: long ones hold more chance pairs.",
    )
    solver: Literal["auto", "dense", "local"] = Field(
        "auto",
        description="dense: one inverse over all items; local: each item on its item_neighbours strongest others, for "
        "any number of items; auto: by dense_up_to.",
    )
    dense_up_to: int = Field(1000, ge=1, description="Most items that solver=auto inverts at once.")
    text_weight: float = Field(6.0, ge=0, description="text-ease: a of the text kernel, in users who agree on a pair.")
    view_weight: float = Field(6.0, ge=0, description="text-ease: the same for the kernel of each further view.")
    kernel_power: float = Field(
        2.0, gt=0, le=8, description="text-ease: power of the cosines; a higher one trusts only close texts."
    )
    fallback: Literal["auto", "popularity", "content", "none"] = Field(
        "auto",
        description="What ranks the items that the weights leave at zero, its size found on validation: popularity, "
        "and content (nearest text) where the method reads text; auto is all it can have.",
    )
    confidence: float = Field(10.0, ge=1, description="ials: alpha, what a choice counts where no choice counts 1.")
    sweeps: int = Field(15, ge=1, description="ials: alternating passes over users and items.")
    # optimisation
    epochs: int = Field(100, ge=1, description="Maximum number of epochs.")
    item_updates: Literal["auto", "dense", "sparse", "sharded"] = Field(
        "auto",
        description="How item vectors are learned. dense: Adam over the whole table in every step; sparse: only the "
        "rows that a batch touches (row-wise Adam), which needs a sampled loss and no teacher; sharded: as sparse, "
        "and each of several processes keeps only its part of the rows; auto: sparse from 100,000 items on, where it "
        "can be.",
    )
    batch_size: int = Field(128, ge=1, description="Users per step; on average, where batches=positions.")
    batches: Literal["users", "positions"] = Field(
        "positions",
        description="What batches have in equal number, as those in one are of similar length: predicted positions, as "
        "many as batch_size users have on average, so that each choice counts the same; or users, so that one in a "
        "long history counts less.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Adam learning rate.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay.")
    patience: int = Field(10, ge=1, description="Evaluations without improvement before stopping.")
    evaluate_every: int = Field(1, ge=1, description="Epochs between evaluations on validation.")
    validation_users: int | None = Field(
        None,
        ge=1,
        description="How many users are asked on validation while training: a fixed sample, the same for every run on "
        "the dataset. The finished run is evaluated on all. When empty, all.",
    )
    ranking: Literal["exact", "two-stage"] = Field(
        "exact",
        description="How the finished run is ranked. two-stage: candidates by an index of the item vectors, scored "
        "exactly; their recall is in the manifest, and ranks beyond the best 256 are estimates. For catalogues of far "
        "more than 100,000 items and models whose scores are inner products (no base).",
    )
    monitor: str = Field("NDCG@10", pattern=RANK_METRIC, description="Validation metric that decides when to stop.")
    monitor_group: GroupName = Field(
        "Overall",
        description="Group in which the metric is watched; cold items are there under a temporal split alone.",
    )
    monitor_protocol: Protocol = Field("full", description="Protocol in which the metric is watched.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 on cuda, float32 elsewhere."
    )
    seed: Seed = Field(42, description="Random seed of the run.")
