"""A blind vote in the app: prepared, shown without names, voted, revealed."""

from __future__ import annotations

import re

import pytest
from app_pages import pick
from explorer import opened, trained, words
from streamlit.testing.v1 import AppTest

from llmesr.runs.record import Run
from llmesr.store import Store
from llmesr.votes import KIND, Vote, prepare

__all__ = ["trained"]


def healthy(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error, [e.value for e in app.error]
    return app


def test_names_are_hidden_until_they_are_asked_for(trained: Store) -> None:
    app = healthy(opened("findings", stage="vote"))
    pick(app, "vote.prepare").click().run()
    (vote,) = (Vote(trained, m) for m in trained.list(KIND))
    assert app.query_params["vote"] == vote.id
    assert app.query_params["present"] == "1"
    names = [label.replace("-", "\\-") for label in vote.labels.values()]
    assert not [name for name in names if name in words(healthy(app))]
    for choice in ("A", "B", "same"):
        pick(app, f"vote.{choice}").click().run()
        if choice != "same":
            pick(app, "vote.next").click().run()
    tally = vote.tally()
    assert (tally.votes, tally.same) == (3, 1)
    assert "3 votes so far" in words(app)
    assert not [name for name in names if name in words(app)]
    pick(app, f"vote.reveal.{vote.id}").set_value(True).run()
    assert all(name in words(app) for name in names)
    assert "Of 2 votes" in words(app)
    pick(app, "vote.leave").click().run()
    assert "Prepare a vote" in str([e.label for e in app.expander])
    pick(app, f"vote.delete.it.{vote.id}").click().run()
    assert trained.list(KIND) == []


def keys(app: AppTest) -> set[str]:
    return {str(button.key) for button in app.button if str(button.key).startswith("vote.")}


def test_a_voter_counts_once_and_not_at_all_after_the_names_were_shown(trained: Store) -> None:
    app = healthy(opened("findings", stage="vote"))
    pick(app, "vote.prepare").click().run()
    (vote,) = (Vote(trained, m) for m in trained.list(KIND))
    once = pick(app, "vote.A")
    once.click().run()
    assert keys(app) == {"vote.next", "vote.leave"}
    once.click().run()  # the same click again, as a replayed or doubled message brings it
    assert vote.tally().votes == 1
    orders = set()
    for _ in range(12):
        pick(app, "vote.next").click().run()
        orders.add(app.session_state[f"vote.order.{vote.id}"])
        pick(app, "vote.same").click().run()
    assert orders == set(vote.runs)  # each voter's own order (alike for all once in two thousand)
    assert vote.tally().votes == 13
    pick(app, "vote.next").click().run()
    late = pick(app, "vote.B")
    pick(app, f"vote.reveal.{vote.id}").set_value(True).run()
    assert keys(app) == {"vote.leave"}
    pick(app, f"vote.reveal.{vote.id}").set_value(False).run()
    assert keys(app) == {"vote.leave"}  # what was seen stays seen
    late.click().run()
    assert vote.tally().votes == 13
    other = healthy(opened("findings", vote=vote.id, present="1"))  # another visitor
    pick(other, "vote.B").click().run()
    assert vote.tally().votes == 14


@pytest.mark.parametrize(
    "address", ["../runs/x", "..", ".", "/etc/passwd", "a" * 5_000, "x\0y", "\u202evote", "<b>x</b>", "**x**", " "]
)
def test_a_strange_vote_in_the_address_is_a_sentence(address: str, trained: Store) -> None:
    app = opened("findings", vote=address, present="1")
    assert not app.exception
    assert len(app.error) == 1
    assert "<b>" not in app.error[0].value
    assert trained.list(KIND) == []


def test_hostile_titles_and_names_are_text_in_a_vote(trained: Store) -> None:
    hostile = ["[x](javascript:alert(1))", "<img src=x onerror=alert(1)>", ":material/home: **bold** $x$", "a\nb\n# c"]
    first, second = (Run(trained, m.id) for m in trained.list("runs")[:2])
    vote = prepare(first, second, (hostile, hostile[::-1]), [*hostile, "y" * 1_000_000, "\u202egnp.exe"])
    app = healthy(opened("findings", vote=vote.id, present="1"))
    shown = [m.value for m in app.markdown if "javascript" in m.value or "onerror" in m.value]
    assert len(shown) == 3  # the history and both lists
    for text in shown:
        assert not re.search(r"(?<!\\)(\[x\]\(|<img|:material|\*\*bold|\$x)", text)
        assert "\n# c" not in text
        assert "\u202e" not in text
        assert len(text) < 5_000


def test_a_vote_that_is_gone_is_a_sentence(trained: Store) -> None:
    app = opened("findings", vote="gone", present="1")
    assert not app.exception
    assert "There is no vote" in app.error[0].value


def test_a_vote_that_is_deleted_while_it_is_shown_is_a_sentence(trained: Store) -> None:
    app = healthy(opened("findings", stage="vote"))
    pick(app, "vote.prepare").click().run()
    trained.delete(KIND, app.query_params["vote"])
    pick(app, "vote.A").click().run()
    assert not app.exception
    assert "has been deleted" in app.toast[0].value
    assert "There is no vote" in app.error[0].value
