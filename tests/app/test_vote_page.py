"""A blind vote in the app: prepared, shown without names, voted, revealed."""

from __future__ import annotations

from app_pages import pick
from explorer import opened, trained, words
from streamlit.testing.v1 import AppTest

from llmesr.store import Store
from llmesr.votes import KIND, Vote

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
    pick(app, "vote.A").click().run()
    pick(app, "vote.A").click().run()
    pick(app, "vote.same").click().run()
    tally = vote.tally()
    assert sorted((tally.first, tally.second, tally.same)) == [0, 1, 2]
    assert "3 votes so far" in words(app)
    assert not [name for name in names if name in words(app)]
    pick(app, f"vote.reveal.{vote.id}").set_value(True).run()
    assert all(name in words(app) for name in names)
    assert "Of 2 votes" in words(app)
    pick(app, "vote.leave").click().run()
    assert "Prepare a vote" in str([e.label for e in app.expander])
    pick(app, f"vote.delete.it.{vote.id}").click().run()
    assert trained.list(KIND) == []


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
