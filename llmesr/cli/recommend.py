"""tune, recommend, rerank, warm, serve: from a trained run to lists of items."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from llmesr.cli.doors import AllowHost, answered_names, guarded
from llmesr.cli.output import Json, Set, emit, progress, say, store, table
from llmesr.config import EVERY_GROUP, parse_overrides
from llmesr.errors import UserError
from llmesr.ids import read_line

if TYPE_CHECKING:
    from llmesr.runs.record import Run
    from llmesr.scoring.policy import ScoringPolicy
    from llmesr.scoring.recommender import Recommender, Request
    from llmesr.scoring.tuning.outcome import TunedPolicy

RunRef = Annotated[str, typer.Argument(help="Run: id, unique prefix or name.")]
Policy = Annotated[
    str | None,
    typer.Option("--policy", help="none, or tuned (by `llmesr tune`); when absent, what the run stands for."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]


def recommend(
    run: RunRef,
    user: Annotated[str | None, typer.Option("--user", help="A user id of the dataset.")] = None,
    history: Annotated[
        str | None, typer.Option("--history", help="Item ids, oldest first, separated by commas.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=1000, help="Number of items.")] = 10,
    policy: Policy = None,
    gamma: Annotated[float | None, typer.Option("--gamma", help="Weight of the content term.")] = None,
    route_threshold: Annotated[int | None, typer.Option("--route-threshold", help="Route rarer items.")] = None,
    route_weight: Annotated[
        float | None, typer.Option("--route-weight", help="Weight of the collaborative part for them.")
    ] = None,
    popularity: Annotated[float | None, typer.Option("--popularity", help="Weight of log popularity.")] = None,
    linear: Annotated[float | None, typer.Option("--linear", help="Weight of the linear term.")] = None,
    linear_kind: Annotated[
        str | None, typer.Option("--linear-kind", help="Weights it adds up: cosines, ease or text-ease.")
    ] = None,
    tail_users_only: Annotated[
        bool, typer.Option("--tail-users-only", help="Leave head users' scores unchanged.")
    ] = False,
    reranker: Annotated[str, typer.Option("--reranker", help="none, mmr, dpp, calibrated, epsilon or ucb.")] = "none",
    strength: Annotated[float, typer.Option("--strength", help="Strength of the re-ranker, 0 to 1.")] = 0.3,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Allow items of the history in the list.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="What each item of the history contributes to each score.")
    ] = False,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """The best items for a user or a history, with what made each rank where it does."""
    from llmesr.runs.record import find_run
    from llmesr.scoring.recommender import Recommender
    from llmesr.scoring.rerankers import RerankConfig
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.training.devices import pick_device

    if (user is None) == (history is None):
        raise UserError("Give either --user or --history.")
    found = find_run(store(), run)
    weights = {
        "gamma": gamma,
        "route_threshold": route_threshold,
        "route_weight": route_weight,
        "popularity": popularity,
        "linear": linear,
        "linear_kind": linear_kind,
        "tail_users_only": tail_users_only or None,
    }
    chosen = _asked_policy(found, policy, {key: value for key, value in weights.items() if value is not None})
    reranking = RerankConfig.read(None, name=reranker, strength=strength)
    recommender = Recommender(ScoredRun(store(), found, pick_device(device)))
    dataset = recommender.dataset
    whom = dataset.user(user) if user is not None else [dataset.item(i.strip()) for i in read_line(history or "")]
    request = recommender.request(whom, k, chosen, reranking, exclude_seen=not include_seen)
    items, shown = _list(recommender, request, explain)
    shown.title = f"{found.label}, {(chosen or recommender.policy).describe()}. {dataset.thresholds.describe()}"
    emit(json, {"items": items}, shown)


def _asked_policy(run: Run, word: str | None, given: dict[str, Any]) -> ScoringPolicy | None:
    """The policy that ``--policy`` names with the weights that are given, which alone are a policy of their own; None,
    the run as it is, where neither is said."""
    from llmesr.scoring.policy import ScoringPolicy
    from llmesr.scoring.tuning.outcome import named_policy

    if word is not None:
        _word(word, "policy", ("none", "tuned"))
    base = named_policy(run, word)  # type: ignore[arg-type]
    return (base or ScoringPolicy()).but(**given) if given else base


def _list(recommender: Recommender, request: Request, explain: bool) -> tuple[list[dict[str, Any]], Table]:
    """The answer to ``request`` as JSON and as a table, each item with its parts or with its reasons."""
    from llmesr.scoring.explanation import document, sentence
    from llmesr.scoring.explanation import explain as reasons_for
    from llmesr.scoring.terms import COLUMNS

    answer = recommender.answer([request])[0]
    frame = recommender.frame(answer)
    items = frame[["item_id", "title", "score", "rank", "tail"]].to_dict("records")
    start = [[str(r.rank), r.item_id, r.title[:60], f"{r.score:.3f}"] for r in frame.itertuples()]
    heads, marks = ["rank", "item", "title", "score"], ["tail" if tail else "" for tail in frame["tail"]]
    if explain:
        titles = recommender.titles.tolist()
        why = reasons_for(recommender.scored, request.history, answer.items.tolist(), request.policy, request.user)
        ids = recommender.item_ids.tolist()
        items = [{**i, "reasons": document(e, ids, titles)} for i, e in zip(items, why, strict=True)]
        middle = [[sentence(e, titles, many=3)] for e in why]
        heads = [*heads, f"why ({why[0].kind})" if why else "why", ""]
    else:
        parts = list(COLUMNS)
        middle = [[f"{value:.3f}" for value in row] for row in frame[parts].itertuples(index=False)]
        heads = [*heads, *parts, ""]
    rows = [[*first, *rest, mark] for first, rest, mark in zip(start, middle, marks, strict=True)]
    return items, table("", heads, rows)


def tune(
    run: RunRef,
    set_: Set = None,
    point: Annotated[int | None, typer.Option("--point", help="Choose this point of the last tuning instead.")] = None,
    evaluate: Annotated[bool, typer.Option(help="Evaluate the chosen policy as a run of its own.")] = True,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Choose how a run is scored on validation, its parts and rare items; the result stands beside it as a run."""
    from llmesr.runs.record import find_run
    from llmesr.scoring.derived import derive
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.scoring.tuning.outcome import PolicyTuningConfig, load_tuned_policy
    from llmesr.scoring.tuning.search import cross_fitted, tune_policy
    from llmesr.training.devices import pick_device

    found = find_run(store(), run)
    scored = ScoredRun(store(), found, pick_device(device))
    with progress() as listen:
        if point is None:
            config = PolicyTuningConfig.read(None, **parse_overrides(set_ or []))
            tuned = tune_policy(scored, config, progress=listen)
        else:
            last = load_tuned_policy(found)
            if last is None:
                raise UserError(f"Run {found.id!r} was not tuned yet; run `llmesr tune {found.id}` first.")
            tuned = last.choose(point)
            tuned.save(found)
        derived = None
        if evaluate and not tuned.policy.inert:
            halves = cross_fitted(scored, tuned.config, progress=listen) if point is None else None
            derived = derive(scored, tuned.policy, listen, halves=halves)
    if scored.dataset.split_config.targets == "all":
        say("Policies are judged by the first item that each user chose after the cut, not by all of them.")
    if tuned.policy.inert:
        say("No policy does better on validation than the run as it is.")
    if point is not None and derived:
        say("This point has seen all users of validation, so its ranks there flatter it. Judge it by the test.")
    document = {
        "run": derived.id if derived else found.id,
        "policy": tuned.policy.model_dump(),
        "chosen": tuned.chosen,
        "seconds": tuned.seconds,
        "points": [p.model_dump() for p in tuned.points],
    }
    emit(json, document, _front_table(tuned))


def _front_table(tuned: TunedPolicy) -> Table:
    protocol = tuned.config.protocol
    groups = [g for g in EVERY_GROUP if f"{protocol}/{g}/NDCG@10" in tuned.points[0].metrics]
    rows = [
        [f"{i}{' *' if i == tuned.chosen else ''}", p.policy.describe(),
         *(f"{p.metrics.get(f'{protocol}/{g}/NDCG@10', float('nan')):.4f}" for g in groups)]
        for i, p in enumerate(tuned.points)
        if i == 0 or p.front or i == tuned.chosen
    ]  # fmt: skip
    title = f"Policies on validation, NDCG@10 ({protocol}); * chosen. {tuned.thresholds.describe()}"
    return table(title, ["point", "policy", *groups], rows)


def rerank(
    run: RunRef,
    users: Annotated[int, typer.Option(min=1, help="Measure on this many users, drawn at random.")] = 2000,
    policy: Policy = None,
    part: Annotated[str, typer.Option(help="valid or test.")] = "test",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """What every re-ranker costs in accuracy and gains in exposure, at three strengths."""
    from llmesr.runs.record import find_run
    from llmesr.scoring.recommender import Recommender
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.scoring.tuning.effect import effects
    from llmesr.training.devices import pick_device

    found = find_run(store(), run)
    chosen = _asked_policy(found, policy, {})
    _word(part, "part", ("valid", "test"))
    scored = ScoredRun(store(), found, pick_device(device)).of(part)  # type: ignore[arg-type]
    recommender = Recommender(scored)
    with progress() as listen:
        frame = effects(recommender, policy=chosen, part=part, users=users, progress=listen)  # type: ignore[arg-type]
    if recommender.dataset.split_config.targets == "all":
        say("Measured by the first item that each user chose after the cut, where `llmesr compare` counts all of them.")
    if not recommender.has_vectors:
        say("Without vectors nothing can be compared: mmr and dpp are left out. `llmesr embed` makes vectors of text.")
    rows = [[str(r["reranker"]), f"{r['strength']:g}", *(f"{v:.4g}" for v in r.iloc[3:])] for _, r in frame.iterrows()]
    title = f"Re-rankers of {found.label} on {part} (full ranking, {frame['users'][0]} users)"
    document = {"run": found.id, "part": part, "protocol": "full", "rows": frame.to_dict("records")}
    emit(json, document, table(title, ["re-ranker", "strength", *frame.columns[3:]], rows))


def warm(
    runs: Annotated[list[str], typer.Argument(help="Runs that will be served.")],
    whitening: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Also for policies of requests with this whitening; may be repeated."),
    ] = None,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Work out before `llmesr serve` what lists under a policy with text need of every item.

    It is kept beside the embedding for every server and start; a server does the same when it is idle, or asked. What
    is done stays when this is stopped, and the next time goes on from there.
    """
    from llmesr.runs.record import find_run
    from llmesr.scoring.scored_run import ScoredRun
    from llmesr.scoring.warm import spaces_of
    from llmesr.scoring.warm import warm as work
    from llmesr.training.devices import pick_device

    made = []
    with progress() as listen:
        for run in runs:
            scored = ScoredRun(store(), find_run(store(), run), pick_device(device))
            spaces = dict.fromkeys([*spaces_of(scored), *(whitening or ())])
            if not spaces:
                raise UserError(
                    f"Run {scored.run.id!r} has no policy with a content term, so its lists need nothing of this. Tune "
                    f"it first (`llmesr tune {scored.run.id}`), or say --whitening for policies that requests bring."
                )
            made += [work(scored, space, listen) for space in spaces]
    rows = [[m.run, f"{m.whitening:g}", f"{m.items:,}", f"{m.new:,}"] for m in made]
    if not any(m.items for m in made):
        say("The catalogue is small: all cosines stay in memory, and nothing need be worked out.")
    emit(json, {"spaces": [vars(m) for m in made]}, table("Nearest texts", ["run", "whitened", "items", "new"], rows))


def serve(
    runs: Annotated[list[str], typer.Argument(help="Runs to serve; the first is the default.")],
    host: Annotated[str, typer.Option("--host")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8000,
    api_key: Annotated[
        str | None, typer.Option("--api-key", envvar="LLMESR_API_KEY", help="Ask clients for this key (X-API-Key).")
    ] = None,
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Allow everyone who can reach --host, without a key.")
    ] = False,
    allow_host: AllowHost = None,
    device: Device = "auto",
    set_: Set = None,
) -> None:
    """Serve recommendations over HTTP."""
    gc.disable()  # until all is loaded: modules are no garbage, and looking through them took a fifth of the start
    try:
        from llmesr.config import ServeConfig
        from llmesr.serving.server import run_server

        config = ServeConfig.read(None, api_key=api_key, device=device, **parse_overrides(set_ or []))
        remedy = "Ask for a key (--api-key or LLMESR_API_KEY), or say --without-key if that is meant."
        guarded(host, guard=config.api_key is not None, waived=without_key, remedy=remedy)
        run_server(store(), runs, config, host=host, port=port, hosts=answered_names(host, allow_host), say=say)
    finally:
        gc.enable()


def _word(value: str, name: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise UserError(f"--{name} is one of {', '.join(known)}, not {value!r}.")
    return value


def register(app: typer.Typer) -> None:
    app.command()(tune)
    app.command()(recommend)
    app.command()(rerank)
    app.command()(warm)
    app.command()(serve)
