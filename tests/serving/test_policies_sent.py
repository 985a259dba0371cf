"""A policy that comes with requests is checked once, and never taken for another."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from pydantic import TypeAdapter, ValidationError

from llmesr.scoring.policy import ScoringPolicy
from llmesr.serving import schemas

ASK: TypeAdapter[schemas.AskForUser | schemas.AskForHistory] = TypeAdapter(schemas.Ask)


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "_policies", OrderedDict())


def policy(sent: str) -> object:
    return ASK.validate_json(f'{{"user": "u", "policy": {sent}}}').policy


def test_the_same_policy_is_the_same_object() -> None:
    first = policy('{"gamma": 1.5}')
    assert first == ScoringPolicy(gamma=1.5)
    assert policy('{ "gamma":1.5 }') is first
    assert policy('{"gamma": 2.5}') == ScoringPolicy(gamma=2.5)
    assert policy('"tuned"') == "tuned"


def test_what_is_wrong_stays_wrong() -> None:
    assert policy('{"weights": null}') == ScoringPolicy()
    for wrong in ('{"weights": NaN}', '{"gamma": -1}', '{"gamma": -1}', '{"gama": 1}', "[]", "3"):
        with pytest.raises(ValidationError):
            policy(wrong)
    assert len(schemas._policies) == 1


def test_few_are_remembered() -> None:
    for gamma in range(schemas.REMEMBERED + 9):
        assert policy(f'{{"gamma": {gamma}}}') == ScoringPolicy(gamma=gamma)
    assert len(schemas._policies) == schemas.REMEMBERED
