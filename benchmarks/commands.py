"""Every command that writes, small enough to be repeated hundreds of times, and the folder in which they can run.

Not run by itself: kills.py, full_disk.py and clock_jumps.py go through this table by way of trials.py.
"""

from __future__ import annotations

import contextlib
import json
import pickle
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "semantic"))

from tiny_models import write_encoder  # noqa: E402

from llmesr.data.synthetic import frames  # noqa: E402
from llmesr.jobs.queue import Jobs  # noqa: E402
from llmesr.jobs.record import State, write_status  # noqa: E402
from llmesr.store import Store  # noqa: E402

TEXT_MODEL = "hf:bert"
"""In place of a model of millions of weights, which writes the same files."""
SMALL = ["--set", "embedding_size=8", "--set", "max_length=8", "--set", "layers=1", "--set", "batch_size=64"]
TRAIN = [*SMALL, "--set", "epochs=3", "--device", "cpu"]
READING = ["--set", f"embedder={TEXT_MODEL}", "--set", "max_tokens=16"]
QUERIES = ["--sql", "SELECT * FROM interactions", "--sql", "SELECT * FROM items"]
TUNING = [
    "--base",
    TEXT_MODEL,
    "--set",
    "steps=4",
    "--set",
    "batch_size=8",
    "--set",
    "max_tokens=16",
    "--set",
    "evaluate_every=2",
]
LANGUAGE = [
    *["--set", f"language_model={TEXT_MODEL}", "--set", "lora_rank=2", "--set", "embedding_size=8"],
    *["--set", "max_length=4", "--set", "batch_size=64", "--set", "epochs=2", "--device", "cpu"],
]
STUDY = [
    *["--embedders", TEXT_MODEL, "--attributes", "all", "--attributes", "title", "--similarities", "cosine"],
    *["--set", "max_tokens=16", "--set", "finalists=1", "--set", "method=llm-init", "--set", "epochs=1"],
]
WITHOUT_EPOCHS = ("popularity", "semantic-knn", "item-knn", "markov", "ease", "text-ease", "ials")
WITH_EPOCHS = ("id", "llm-init", "adapter", "llm-esr", "llmemb", "codes", "generative")
PYTHON = "python"
"""In place of a command of ``llmesr``: the word after it is Python, for what the app alone writes."""
PORT = "{port}"
"""In a command: a port that is free."""
ELSEWHERE = "{elsewhere}"
"""In a command: the address of elsewhere.py."""
CHAT = ["--set", f"endpoint={ELSEWHERE}/v1"]
FETCH = """
import sys
from llmesr.cli.main import main
from llmesr.data.known import KNOWN, File, Known
files = (File("tiny.zip", ("{elsewhere}/tiny.zip",)),)
KNOWN["tiny"] = Known("tiny", "Tiny", "None.", files, ("interactions.csv", "items.csv"))
sys.argv = ["llmesr", "fetch", "tiny"]
main()
"""
UPLOAD = """
from llmesr.jobs.uploads import Uploads
from llmesr.store import Store
Uploads(Store()).receive([(name, open(name, "rb")) for name in ("interactions.csv", "items.csv")], limit=10**8)
"""
PIN = """
import pandas as pd
from llmesr import findings
findings.pin("Tail users gain", table=pd.DataFrame({"run": ["one"], "HR@10": [0.1]}), note="said on the way")
"""
VOTE = """
from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.votes import prepare
store = Store()
vote = prepare(Run(store, "one"), Run(store, "two"), [["a", "b"], ["b", "a"]], ["c"])
for choice in ("A", "B", "same"):
    vote.cast("one", choice)
"""


@dataclass(frozen=True)
class Command:
    """``words`` after ``llmesr``; where ``makes`` is there already, ``again`` goes on with it.

    ``output``: a file that is written outside the store, or beside the artifacts. ``done``: whether nothing is left to
    do. ``before``: harms the folder first. ``ready``: what a server says when it stands; it is then asked to end.
    ``forks``: whether a forked child can be the command, which one that replaces its process cannot. ``varies``: files
    that rightly differ when it is given again, as they say what it did.
    """

    words: list[str]
    makes: tuple[str, str] | None = None
    again: list[str] = field(default_factory=list)
    output: str | None = None
    done: Callable[[Path], bool] | None = None
    before: Callable[[Path], None] | None = None
    ready: str | None = None
    forks: bool = True
    varies: tuple[str, ...] = ()


def _store(place: Path) -> Store:
    return Store(place / "artifacts")


def _training(id: str, method: str, *more: str) -> Command:
    return Command(["train", "shop", "--method", method, "--run-id", id, *more], ("runs", id), ["resume", id])


def _jobs(place: Path) -> Jobs:
    return Jobs(_store(place))


def _job(state: State) -> Callable[[Path], None]:
    """A job called ``waiting`` in this state; nobody works on it."""

    def make(place: Path) -> None:
        with mock.patch.object(Jobs, "dispatch"):
            job = _jobs(place).submit(["profile", "shop"], kind="waiting", label="Look at it")
        write_status(job.folder, job.status.model_copy(update={"state": state}))

    return make


def _ended(place: Path) -> bool:
    return not any(job.active for job in _jobs(place).list())


def _begun(place: Path) -> bool:
    return any(job.active or job.state == "SUCCEEDED" for job in _jobs(place).list())


def _harm(place: Path) -> None:
    """Cut an embedding and the ranks of a run short: what ``doctor --repair`` makes again."""
    store = _store(place)
    for kind, id, ending in (("embeddings", store.ids("embeddings")[0], ".safetensors"), ("runs", "one", ".parquet")):
        for path in store.files(kind, id):
            if path.suffix == ending:
                path.write_bytes(path.read_bytes()[:-7])


COMMANDS: dict[str, Command] = {
    "fetch": Command([PYTHON, FETCH], output="artifacts/downloads/tiny/interactions.csv"),
    "upload": Command([PYTHON, UPLOAD]),
    "ingest": Command(["ingest", "interactions.csv", "items.csv", "--name", "new"]),
    "ingest an address": Command(
        ["ingest", f"{ELSEWHERE}/interactions.csv", f"{ELSEWHERE}/items.csv", "--name", "distant"]
    ),
    "ingest a database": Command(["ingest", "shop.sqlite", *QUERIES, "--name", "queried"]),
    "split": Command(["split", "shop", "--set", "kind=temporal", "--set", "valid_from=0.7", "--name", "dated"]),
    "embed": Command(["embed", "shop", *READING, "--set", "max_chars=24"]),
    "embed over the network": Command(
        ["embed", "shop", "--set", "embedder=openai:small", "--set", f"endpoint={ELSEWHERE}/v1", "--yes"]
    ),
    "embed --export": Command(["embed", "shop", "--export", "vectors.npy"], output="vectors.npy"),
    "neighbours": Command(["neighbours", "shop", "--set", "neighbours=5"]),
    "finetune": Command(
        ["finetune", "shop", "--run-id", "tuned", *TUNING], ("adapters", "tuned"), ["finetune", "--resume", "tuned"]
    ),
    **{f"train {method}": _training("new", method) for method in WITHOUT_EPOCHS},
    **{f"train {method}": _training("new", method, *TRAIN) for method in WITH_EPOCHS},
    "train language": _training("new", "language", *LANGUAGE),
    "train on a base with a teacher": _training("new", "id", *TRAIN, "--set", "base=text-ease", "--set", "teacher=one"),
    **{f"train {name}": _training("new", "id", "--backbone", name, *TRAIN) for name in ("bert4rec", "gru4rec")},
    "resume": Command(["resume", "stopped"], ("runs", "stopped"), ["resume", "stopped"]),
    "search": Command(
        ["search", "shop", "--method", "id", "--trials", "2", "--run-id", "s", *SMALL, "--set", "epochs=1"],
        ("searches", "s"),
        ["search", "--resume", "s"],
    ),
    "best": Command(
        ["best", "shop", "--minutes", "0.1", "--run-id", "c"], ("contests", "c"), ["best", "--resume", "c"]
    ),
    "study": Command(["study", "shop", "--run-id", "st", *STUDY], ("studies", "st"), ["study", "--resume", "st"]),
    "blend": Command(["blend", "one", "two"]),
    "tune": Command(["tune", "two"]),
    "evaluate": Command(["evaluate", "one"]),
    "evaluate --ranking": Command(["evaluate", "--ranking", "ranking.csv", "--dataset", "shop", "--name", "outside"]),
    "allocate": Command(["allocate", "one", "--second", "two", "--set", "share=0.3"]),
    "allocate by chat": Command(
        ["allocate", "one", "--second", "chat:small", "--yes", *CHAT, "--set", "share=0.3"],
        varies=("allocation.json",),  # how many answers were paid before
    ),
    "defend": Command(["defend", "two", "--baseline", "one", "--out", "claim.html"], output="claim.html"),
    "map": Command(["map", "shop"]),
    "demo": Command(["demo", "--synthetic", "--users", "100"]),
    "pin": Command([PYTHON, PIN]),
    "vote": Command([PYTHON, VOTE]),
    "findings export": Command(["findings", "export", "findings.html"], output="findings.html"),
    "findings export slides": Command(["findings", "export", "findings.pptx"], output="findings.pptx"),
    "findings delete": Command(
        ["findings", "delete", "Tail users gain", "--yes"], done=lambda place: not _store(place).ids("findings")
    ),
    "runs tag": Command(["runs", "tag", "one", "paper"]),
    "runs note": Command(["runs", "note", "one", "the first"]),
    "runs archive": Command(["runs", "archive", "one"]),
    "delete": Command(
        ["delete", "runs", "spare", "--yes"], done=lambda place: "spare" not in _store(place).ids("runs")
    ),
    "export": Command(["export", "runs", "two", "two.tar.gz"], output="two.tar.gz"),
    "export --to parquet": Command(["export", "runs", "two", "tables", "--to", "parquet"]),
    "export --to recbole": Command(["export", "datasets", "shop", "atomic", "--to", "recbole"]),
    "export --to tensorboard": Command(["export", "runs", "two", "curves", "--to", "tensorboard"]),
    "import": Command(["import", "elsewhere.tar.gz"], done=lambda place: _store(place).exists("runs", "far")),
    "push": Command(["push", "runs/two", "--to", "remote"]),
    "pull": Command(["pull", "runs/far", "--from", "far"]),
    "convert": Command(["convert", "authors.pkl", "authors.npy", "--trust"], output="authors.npy"),
    "doctor": Command(["doctor", "--repair"], before=_harm),
    "jobs submit": Command(["jobs", "submit", "--", "profile", "shop"]),
    "jobs list": Command(["jobs", "list"], before=_job("RUNNING")),
    "jobs show": Command(["jobs", "show", "waiting"], before=_job("RUNNING")),
    "jobs stop": Command(["jobs", "stop", "waiting"], before=_job("PENDING"), done=_ended),
    "jobs resume": Command(["jobs", "resume", "waiting"], before=_job("FAILED"), done=_begun),
    "jobs retry": Command(["jobs", "retry", "waiting"], before=_job("FAILED"), done=_begun),
    "lab launch": Command(["lab", "launch", "two", "--title", "Blue mug"]),
    "lab edit": Command(["lab", "edit", "two", "i01", "--title", "Blue mug"]),
    "serve": Command(["serve", "two", "--port", PORT], ready="Serving"),
    "app": Command(["app", "--demo", "--port", PORT], ready="URL:", forks=False),
}

READERS: dict[str, Command] = {
    "profile": Command(["profile", "shop"]),
    "diagnose": Command(["diagnose", "shop-hf-bert"]),
    "compare": Command(["compare", "one", "two"]),
    "slices": Command(["slices", "one", "two"]),
    "rerank": Command(["rerank", "two"]),
    "warm": Command(["warm", "two", "--whitening", "0.5"]),  # of a small catalogue nothing is kept
    "recommend": Command(["recommend", "two", "--user", "u01"]),
    "lab past": Command(["lab", "past", "later"]),
    "lab repair": Command(["lab", "repair", "two"]),
    "findings list": Command(["findings", "list"]),
    "findings show": Command(["findings", "show", "Tail users gain"]),
    "list": Command(["list", "runs"]),
    "runs list": Command(["runs", "list"]),
    "jobs log": Command(["jobs", "log", "waiting"], before=_job("FAILED")),
}
"""Commands that only read: nothing can be torn where nothing is written, which is counted."""

PREPARED: list[list[str]] = [
    ["ingest", "interactions.csv", "items.csv", "--name", "shop"],
    ["embed", "shop", *READING],
    ["train", "shop", "--method", "popularity", "--run-id", "spare"],
    ["train", "shop", "--method", "id", "--run-id", "one", *TRAIN],
    ["train", "shop", "--method", "llm-esr", "--run-id", "two", *TRAIN],
    ["split", "shop", "--set", "kind=temporal", "--name", "shop-dated"],
    ["embed", "shop-dated", *READING],
    ["train", "shop-dated", "--method", "text-ease", "--run-id", "later"],
    ["train", "shop", "--method", "markov", "--run-id", "far"],
    ["export", "runs", "far", "elsewhere.tar.gz"],
    ["push", "runs/far", "--to", "far"],
    ["delete", "runs", "far", "--yes"],
    [PYTHON, PIN],
]
STOPPED = ["train", "shop", "--method", "id", "--run-id", "stopped", *SMALL, "--set", "epochs=40", "--device", "cpu"]
"""Killed after its first checkpoint."""


def write_inputs(place: Path) -> None:
    """The files that commands read."""
    interactions, items = frames(80, 40, seed=3)
    interactions.to_csv(place / "interactions.csv", index=False)
    items.to_csv(place / "items.csv", index=False)
    with zipfile.ZipFile(place / "tiny.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("interactions.csv", "items.csv"):
            archive.write(place / name, name)
    with contextlib.closing(sqlite3.connect(place / "shop.sqlite")) as database:
        interactions.to_sql("interactions", database, index=False)
        items.to_sql("items", database, index=False)
    write_encoder(place / "bert", items["title"].tolist())
    (place / "authors.pkl").write_bytes(pickle.dumps(np.ones((4, 3), np.float32)))
    users, ids = interactions["user_id"].unique(), items["item_id"].tolist()
    ranking = pd.MultiIndex.from_product([users, ids], names=["user", "item"]).to_frame(index=False)
    ranking.assign(score=np.random.default_rng(0).random(len(ranking))).to_csv(place / "ranking.csv", index=False)


def chosen(names: str) -> dict[str, Command]:
    """The commands named, with commas between; all that write when empty."""
    if not names:
        return COMMANDS
    return {name: {**COMMANDS, **READERS}[name.strip()] for name in names.split(",")}


def tell(document: dict[str, object], file: Path | None) -> None:
    """Print the figures, and write them as JSON where a file is named."""
    print(json.dumps(document, indent=2, default=str))
    if file is not None:
        file.write_text(json.dumps(document, default=str))
