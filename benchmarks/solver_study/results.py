"""From stored trials to judgements: medians, who is ahead in a cell, and which claims were false."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from benchmarks.solver_study.grid import TRIAL, Cell, Contestant, Problem, Side, Skip, registry_side
from sslth.experiments.cells import cell_key
from sslth.experiments.store import Store

__all__ = [
    "CellResult",
    "FalseClaim",
    "Measured",
    "Standing",
    "Verdict",
    "false_claims",
    "judge",
    "median",
    "refusals",
    "stored_trials",
]

OWN_OVERRUN = 0.2  # seconds that an answer may come late


@dataclass(frozen=True)
class Measured:
    """One trial.

    Attributes
    ----------
    problem, contestant, time_limit
    error : float
        As `sslth.verify` computed it; inf without a valid subset.
    seconds : float
        Wall time of the call; NaN if it was killed before it began.
    optimal, bound
        What the contestant claims: that its subset is an exact minimiser, and a lower bound.
    work : int
        Partial sums visited; 0 where it does not say.
    found_by : str
        The solver that `auto` owes its subset to.
    note : str
        Why it stopped, what was wrong, or how it failed.
    revision : str
        Of our code.
    refused : bool
        It found only when called that it cannot take the instance.
    """

    problem: Problem
    contestant: Contestant
    time_limit: float
    error: float
    seconds: float
    optimal: bool
    bound: float
    work: int
    found_by: str
    note: str
    revision: str
    refused: bool = False

    @property
    def is_late(self) -> bool:
        """Whether it came back more than .2 s after its limit, or was killed."""
        return not self.seconds <= self.time_limit + OWN_OVERRUN


def stored_trials(store: Store, plan: Sequence[Mapping[str, Any]]) -> tuple[list[Measured], dict[str, str], int]:
    """The planned trials that the store has, the failed ones' errors by what they were, and how many are missing."""
    rows = {row.key: row for row in store.rows(TRIAL)}
    measured, failed, missing = [], {}, 0
    for parameters in plan:
        row = rows.get(cell_key(parameters))
        if row is None:
            missing += 1
            continue
        problem, contestant = _who_and_what(parameters)
        result = row.result
        if result is None:
            failed[f"{contestant}, {problem.cell}, seed {problem.seed}, {parameters['time_limit']:g} s"] = str(
                row.error
            )
            result = {"error": None, "seconds": None, "claimed_optimal": False, "claimed_bound": 0.0, "note": row.error}
        measured.append(
            Measured(
                problem,
                contestant,
                parameters["time_limit"],
                error=math.inf if result["error"] is None else result["error"],
                seconds=math.nan if result["seconds"] is None else result["seconds"],
                optimal=result["claimed_optimal"],
                bound=0.0 if result["claimed_bound"] is None else result["claimed_bound"],
                work=result.get("work", 0),
                found_by=result.get("found_by", contestant.name),
                note=result["note"],
                revision=result.get("revision", ""),
                refused=result.get("refused", False),
            )
        )
    return measured, failed, missing


def refusals(measured: Iterable[Measured]) -> list[Skip]:
    """Whoever refused a cell when called."""
    skips = {(it.problem.cell, it.contestant): it.note for it in measured if it.refused}
    return [Skip(cell, contestant, note) for (cell, contestant), note in skips.items()]


def _who_and_what(parameters: Mapping[str, Any]) -> tuple[Problem, Contestant]:
    cell = Cell(parameters["law"], parameters["d"], parameters["n"], parameters["cardinality"])
    return Problem(cell, parameters["seed"]), Contestant(Side(parameters["side"]), parameters["solver"])


def median(values: Iterable[float]) -> float:
    """The median, with inf for what was not found; NaN of nothing."""
    ordered = np.sort(np.fromiter(values, dtype=np.float64))
    if ordered.size == 0:
        return math.nan
    low, high = float(ordered[(ordered.size - 1) // 2]), float(ordered[ordered.size // 2])
    return low if low == high else (low + high) / 2


# ---------------------------------------------------------------------------------------------- false claims


@dataclass(frozen=True)
class FalseClaim:
    """A claimed optimum or bound that somebody's verified error contradicts."""

    problem: Problem
    contestant: Contestant
    time_limit: float
    what: str
    claimed: float
    error: float
    found_by: Contestant


def false_claims(measured: Iterable[Measured]) -> list[FalseClaim]:
    """Claims of anybody, ours included, that a verified subset of the same instance refutes."""
    of_problem: dict[Problem, list[Measured]] = defaultdict(list)
    for trial in measured:
        of_problem[trial.problem].append(trial)
    claims = []
    for trials in of_problem.values():
        best = min(trials, key=lambda trial: trial.error)
        for trial in trials:
            for what, claimed in (("optimum", trial.error if trial.optimal else 0.0), ("bound", trial.bound)):
                if claimed > best.error:
                    claims.append(
                        FalseClaim(
                            trial.problem,
                            trial.contestant,
                            trial.time_limit,
                            what,
                            claimed,
                            best.error,
                            best.contestant,
                        )
                    )
    return claims


# ---------------------------------------------------------------------------------------------- who is ahead


class Verdict(StrEnum):
    """How our best solver stands beside the best peer; the first two are what must not be."""

    BEHIND = "behind"
    LEVEL = "level"
    AHEAD = "ahead"
    ALONE = "no peer"
    UNFINISHED = "not finished"


@dataclass(frozen=True)
class Standing:
    """A contestant in a cell: medians over the instances, and whether all of them were proven (no claim refuted)."""

    contestant: Contestant
    error: float
    seconds: float
    proven: bool


@dataclass(frozen=True)
class CellResult:
    """A cell at its largest time limit, over the instances on which every planned peer has been run.

    A solver of ours that has not been run on all of these counts for nothing: what is missing is never to our favour.

    Attributes
    ----------
    cell, time_limit, instances
    ours, peer : Standing or None
        The best of either side: smallest median error, then proven, then the fastest.
    auto_ratio : float
        Error of `auto` over that of our best; NaN if it was not run.
    verdict : Verdict
    error_ratio : float
        The peer's median error over ours.
    proof_ratio : float
        The peer's seconds over ours where ours has proofs; NaN without.
    proof_ratio_is_bound : bool
        The peer has no proof at its limit, and its time to one is larger.
    """

    cell: Cell
    time_limit: float
    instances: int
    ours: Standing | None
    peer: Standing | None
    auto_ratio: float
    verdict: Verdict
    error_ratio: float
    proof_ratio: float
    proof_ratio_is_bound: bool


def judge(
    plan: Iterable[Mapping[str, Any]], measured: Sequence[Measured], claims: Iterable[FalseClaim]
) -> list[CellResult]:
    """One result a planned cell, in the order of the plan."""
    refuted = {(claim.problem, claim.contestant, claim.time_limit) for claim in claims}
    planned: dict[Cell, set[tuple[int, Contestant, float]]] = defaultdict(set)
    for parameters in plan:
        problem, contestant = _who_and_what(parameters)
        planned[problem.cell].add((problem.seed, contestant, parameters["time_limit"]))
    done: dict[Cell, dict[tuple[int, Contestant, float], Measured]] = defaultdict(dict)
    for trial in measured:
        done[trial.problem.cell][trial.problem.seed, trial.contestant, trial.time_limit] = trial
    return [_judge_cell(cell, wanted, done[cell], refuted) for cell, wanted in planned.items()]


def _judge_cell(
    cell: Cell,
    wanted: set[tuple[int, Contestant, float]],
    done: Mapping[tuple[int, Contestant, float], Measured],
    refuted: set[tuple[Problem, Contestant, float]],
) -> CellResult:
    limit = max(time_limit for _, _, time_limit in wanted)
    final = {(seed, contestant) for seed, contestant, time_limit in wanted if time_limit == limit}
    missing = {(seed, contestant) for seed, contestant in final if (seed, contestant, limit) not in done}
    of_peers = {seed for seed, contestant in missing if contestant.side is Side.PEER}
    seeds = {seed for seed, contestant in final - missing if contestant.side is Side.OURS} - of_peers
    if not seeds:
        return CellResult(
            cell, limit, 0, None, None, math.nan, Verdict.UNFINISHED, math.nan, math.nan, proof_ratio_is_bound=False
        )
    standings = []
    for contestant in sorted({contestant for _, contestant in final}):
        if any((seed, contestant) in missing for seed in seeds):
            continue
        trials = [done[seed, contestant, limit] for seed in sorted(seeds) if (seed, contestant) in final]
        if contestant.side is not Side.OURS or not any(_is_borrowed(trial) for trial in trials):
            standings.append(_standing(contestant, trials, refuted))
    ours = _best(standing for standing in standings if standing.contestant.side is Side.OURS)
    peer = _best(standing for standing in standings if standing.contestant.side is Side.PEER)
    auto = next((standing for standing in standings if standing.contestant == Contestant(Side.OURS, "auto")), None)
    proof_ratio, is_bound = math.nan, False
    if ours is not None and peer is not None and ours.proven:
        proof_ratio = (peer.seconds if peer.proven else max(peer.seconds, limit)) / ours.seconds
        is_bound = not peer.proven
    return CellResult(
        cell,
        limit,
        len(seeds),
        ours,
        peer,
        math.nan if auto is None or ours is None else _ratio(auto.error, ours.error),
        _verdict(ours, peer, has_peers=any(contestant.side is Side.PEER for _, contestant in final)),
        math.nan if ours is None or peer is None else _ratio(peer.error, ours.error),
        proof_ratio,
        is_bound,
    )


def _standing(
    contestant: Contestant, trials: Sequence[Measured], refuted: set[tuple[Problem, Contestant, float]]
) -> Standing:
    return Standing(
        contestant,
        median(trial.error for trial in trials),
        median(trial.time_limit if math.isnan(trial.seconds) else trial.seconds for trial in trials),
        all(trial.optimal and (trial.problem, trial.contestant, trial.time_limit) not in refuted for trial in trials),
    )


def _best(standings: Iterable[Standing]) -> Standing | None:
    found = [standing for standing in standings if math.isfinite(standing.error)]
    return min(found, key=lambda it: (it.error, not it.proven, it.seconds), default=None)


def _is_borrowed(trial: Measured) -> bool:
    """Whether `auto` got this answer from somebody else's engine, which does not make it ours."""
    return registry_side(trial.found_by) is Side.WRAPPED


def _ratio(above: float, below: float) -> float:
    if below == 0.0:
        return 1.0 if above == 0.0 else math.inf
    return above / below


def _verdict(ours: Standing | None, peer: Standing | None, *, has_peers: bool) -> Verdict:
    if not has_peers:
        return Verdict.ALONE
    if peer is None:
        return Verdict.AHEAD if ours is not None else Verdict.LEVEL
    if ours is None or ours.error > peer.error:
        return Verdict.BEHIND
    if ours.error < peer.error or (ours.proven and not peer.proven):
        return Verdict.AHEAD
    if peer.proven:
        return Verdict.AHEAD if ours.proven and ours.seconds < peer.seconds else Verdict.BEHIND
    return Verdict.LEVEL
