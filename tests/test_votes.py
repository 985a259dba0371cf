"""A blind vote counts what was chosen whoever stood as A, keeps it at once, and says how sure the result is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from factories import make_dataset, make_run
from scipy.stats import binomtest

from llmesr import votes
from llmesr.errors import UserError
from llmesr.runs.record import Run
from llmesr.store import Store, examine
from llmesr.votes import BALLOTS, KIND, LISTS, Tally, Vote, prepare, wilson


@pytest.fixture
def vote(store: Store) -> Vote:
    data = make_dataset(store)
    first, second = make_run(store, data, "id"), make_run(store, data, "llm-esr")
    return prepare(first, second, (["a", "b"], ["b", "c"]), ["z"], user="u1")


def test_lists_and_names_are_kept(vote: Vote) -> None:
    first, second = vote.runs
    assert (vote.history, vote.titles(first), vote.titles(second)) == (["z"], ["a", "b"], ["b", "c"])
    assert list(vote.labels.values()) == ["id/sasrec", "llm-esr/sasrec"]


def test_votes_count_for_the_run_whichever_letter_it_had(vote: Vote, store: Store) -> None:
    first, second = vote.runs
    vote.cast(first, "A")
    vote.cast(second, "B")
    vote.cast(second, "A")
    vote.cast(first, "same")
    again = Vote(Store(store.root), store.manifest(KIND, vote.id))  # as after a restart
    assert again.tally() == Tally(first=2, second=1, same=1)
    assert examine(store) == []  # votes are no part of the checksums


def test_a_line_cut_off_by_a_crash_is_no_vote(vote: Vote, store: Store) -> None:
    vote.cast(vote.runs[0], "A")
    with open(store.path(KIND, vote.id) / BALLOTS, "a") as file:
        file.write('{"time": "2026", "a": "')
    assert vote.tally() == Tally(first=1)


def test_a_vote_after_a_line_cut_off_by_a_crash_counts(vote: Vote, store: Store) -> None:
    ballots = store.path(KIND, vote.id) / BALLOTS
    ballots.write_bytes(b'{"time": "2026", "a": "')
    vote.cast(vote.runs[0], "A")
    vote.cast(vote.runs[0], "same")
    assert vote.tally() == Tally(first=1, same=1)


@pytest.mark.parametrize("line", [b"5", b"[]", b"null", b"\xff\xfe", b'{"a": 7, "choice": "A"}', b'{"choice": []}'])
def test_a_damaged_line_is_no_vote(line: bytes, vote: Vote, store: Store) -> None:
    vote.cast(vote.runs[0], "A")
    with open(store.path(KIND, vote.id) / BALLOTS, "ab") as ballots:
        ballots.write(line + b"\n")
    vote.cast(vote.runs[0], "B")
    assert vote.tally() == Tally(first=1, second=1)


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b"{}", b"5", b"\xff", b"[" * 100_000, b'{"history": [1], "lists": {}}']
)
def test_damaged_lists_are_a_sentence(content: bytes, vote: Vote, store: Store) -> None:
    (store.path(KIND, vote.id) / LISTS).write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        print(vote.history, vote.titles(vote.runs[0]))


@pytest.mark.parametrize("runs", [None, 5, [], ["one"], ["one", 2], {"a": 1}])
def test_a_vote_that_does_not_say_of_which_runs_is_a_sentence(runs: object, vote: Vote, store: Store) -> None:
    with store.changing(KIND, vote.id) as manifest:
        manifest.config["runs"] = runs
    with pytest.raises(UserError, match="damaged"):
        print(Vote(store, store.manifest(KIND, vote.id)).runs)


def test_a_vote_deleted_meanwhile_takes_no_more(vote: Vote, store: Store) -> None:
    store.delete(KIND, vote.id)
    with pytest.raises(UserError, match="deleted"):
        vote.cast(vote.runs[0], "A")
    assert store.ids(KIND) == []


def test_what_is_no_vote_is_refused(vote: Vote, store: Store) -> None:
    with pytest.raises(UserError, match="A vote is for A, B or no difference"):
        vote.cast("another", "A")
    run = make_run(store, make_dataset(store, name="other", seed=3), "id")
    mine = next(r for r in store.list("runs") if r.id == vote.runs[0])
    with pytest.raises(UserError, match="two different runs"):
        prepare(run, run, ([], []), [])
    with pytest.raises(UserError, match="same dataset"):
        prepare(run, Run(store, mine.id), (["a"], ["b"]), [])
    with pytest.raises(UserError, match="the same list"):
        prepare(Run(store, vote.runs[0]), Run(store, vote.runs[1]), (["a"], ["a"]), [])


def test_votes_at_the_same_moment_all_count(vote: Vote, store: Store) -> None:
    first, second = vote.runs

    def cast(number: int) -> None:
        Vote(Store(store.root), store.manifest(KIND, vote.id)).cast((first, second)[number % 2], "A")

    with ThreadPoolExecutor(16) as voters:
        list(voters.map(cast, range(200)))
    assert vote.tally() == Tally(first=100, second=100)
    lines = (store.path(KIND, vote.id) / BALLOTS).read_bytes().splitlines()
    assert len([json.loads(line) for line in lines]) == 200  # none inside another


def test_a_vote_deleted_at_the_same_moment_is_a_sentence(
    vote: Vote, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "exists", lambda *_: True)  # it was there when it was asked for
    store.delete(KIND, vote.id)
    with pytest.raises(UserError, match="deleted"):
        vote.cast(vote.runs[0], "A")
    assert not store.path(KIND, vote.id).exists()


def test_a_vote_holds_no_more_than_can_be_read(vote: Vote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "MOST_BYTES", 200)
    with pytest.raises(UserError, match="as many votes as it can hold"):
        for _ in range(99):
            vote.cast(vote.runs[0], "A")
    assert 2 <= vote.tally().votes <= 3


@pytest.mark.parametrize("choice", ["a", "A\n", "", "C", "A" * 1_000_000, None, 5])
def test_a_choice_that_is_none_is_not_counted(choice: object, vote: Vote) -> None:
    with pytest.raises(UserError, match="A vote is for A, B or no difference"):
        vote.cast(vote.runs[0], choice)  # type: ignore[arg-type]
    assert vote.tally().votes == 0


def test_lists_without_end_are_damaged(vote: Vote, store: Store) -> None:
    found = {"history": ["z"] * 1_001, "lists": {run: ["a"] for run in vote.runs}}
    (store.path(KIND, vote.id) / LISTS).write_text(json.dumps(found))
    with pytest.raises(UserError, match="damaged"):
        print(vote.history)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (3, 4), (9, 12), (50, 100), (100, 100)])
def test_the_interval_is_wilsons(hits: int, n: int) -> None:
    truth = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((truth.low, truth.high))


def test_no_share_is_refused() -> None:
    for hits, n in ((0, 0), (3, 2)):
        with pytest.raises(ValueError, match="no share"):
            wilson(hits, n)


def test_the_sentence_is_about_who_is_ahead_and_calls_chance_chance() -> None:
    clear = Tally(first=2, second=20, same=3).sentence("x", "y")
    assert clear.startswith("Of 22 votes that name a list, 20 (91%, 95% interval 72% to 97%) prefer y; 3 see no diff")
    assert "chance" not in clear
    assert "That may be chance" in Tally(first=6, second=4).sentence("x", "y")
    assert Tally(same=2).sentence("x", "y") == "2 votes, none of which names a list."
