"""The study of solvers: its cells, resuming, judgements and report; nothing here looks at a time."""

import csv
import math
from typing import ClassVar

import pytest

import benchmarks.solvers as study
from benchmarks.solver_study import figures, grid, worker
from benchmarks.solver_study.floors import log2_floor, normal_log2_floor
from benchmarks.solver_study.grid import Cell, Contestant, Problem, Side, full_cells, make_plan, time_limits
from benchmarks.solver_study.results import Measured, Verdict, false_claims, judge, median
from benchmarks.solver_study.roofline import REFERENCE, measure_reference, reference_parameters
from benchmarks.solver_study.tables import markdown
from sslth.errors import InvalidInputError
from sslth.experiments.store import Store
from sslth.subset_sum.draw_instance import draw_instance
from sslth.theory.floors import first_moment_floor

CELL = Cell("gaussian", 1, 20)
OURS, AUTO = Contestant(Side.OURS, "brute_force"), Contestant(Side.OURS, "auto")
PEER, OTHER = Contestant(Side.PEER, "theirs"), Contestant(Side.PEER, "others")


def measured(who, error, *, seconds=1.0, seed=0, limit=1.0, optimal=False, bound=0.0, cell=CELL, found_by=None):
    return Measured(Problem(cell, seed), who, limit, error, seconds, optimal, bound, 5, found_by or who.name, "", "")


def planned(trials):
    return [grid.trial_parameters(it.problem, it.contestant, it.time_limit, 1) for it in trials]


def judged(*trials, plan=None):
    return judge(plan or planned(trials), trials, false_claims(trials))


# ------------------------------------------------------------------------------------------------- the plan


def test_the_grid_is_the_whole_one():
    cells = full_cells()
    assert len(cells) == len(set(cells)) == 8 * 6 * 3 * 2
    assert Cell("nsn", 576, 100_000, 25_000) in cells
    assert Cell("uniform", 1, 20, None) in cells


def test_axes_choose_a_part_of_the_grid_or_go_beyond():
    assert full_cells({"law": ["nsn"], "d": ["3"], "n": ["7"], "size": ["free", "fixed"]}) == [
        Cell("nsn", 3, 7),
        Cell("nsn", 3, 7, 1),
    ]


def test_limits_rise_and_the_chosen_few_have_a_minute():
    assert time_limits(Cell("nsn", 4, 1000), Side.OURS, 10.0) == [0.1, 1.0, 10.0]
    assert time_limits(Cell("nsn", 4, 1000), Side.PEER, 10.0) == [1.0, 10.0]
    assert time_limits(Cell("gaussian", 4, 40), Side.PEER, 10.0) == [1.0, 10.0, 60.0]
    assert time_limits(Cell("gaussian", 4, 40, 10), Side.PEER, 10.0) == [1.0, 10.0]
    assert time_limits(Cell("gaussian", 4, 40), Side.OURS, 0.05) == [0.05]


def test_who_cannot_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(grid, "PEERS", {"theirs": None})
    monkeypatch.setattr(
        grid, "why_not", lambda _, instance: "one dimension only" if instance.d > 1 else None, raising=False
    )
    cells = [Cell("gaussian", 1, 20), Cell("gaussian", 2, 40), Cell("gaussian", 2, 50_001)]
    trials, skips = make_plan(cells, 2, 1.0, 1, [OURS, PEER])
    assert [(it.cell.n, it.contestant) for it in skips] == [(40, OURS), (40, PEER), (50_001, OURS), (50_001, PEER)]
    assert "24 rows" in skips[0].reason
    assert skips[1].reason == "one dimension only"
    assert "100,000" in skips[3].reason
    assert [(it["seed"], it["solver"], it["time_limit"]) for it in trials] == [
        (seed, solver, limit)
        for seed in (0, 1)
        for solver, limit in (("brute_force", 0.1), ("brute_force", 1.0), ("theirs", 1.0))
    ]


def test_everybody_in_the_registry_takes_part_and_engines_of_others_are_not_ours(monkeypatch):
    names = {who.name for who in grid.contestants() if who.side is not Side.PEER}
    assert names == set(grid.REGISTRY)
    assert grid.registry_side("cp_sat") is Side.WRAPPED
    assert grid.registry_side("auto") is Side.OURS


def test_an_outline_has_the_sizes_and_the_target_of_the_instance():
    problem = Problem(Cell("nsn", 3, 50, 12), 7)
    instance, outline = problem.draw(), problem.outline()
    assert (outline.n, outline.d, outline.cardinality) == (50, 3, 12)
    assert (outline.target == instance.target).all()
    assert outline.samples.strides == (0, 0)


# --------------------------------------------------------------------------------------- running and resuming


class FakeWorker:
    """Answers at once; remembers what it was asked; Ctrl-C after so many trials."""

    asked: ClassVar[list] = []
    patience = 1_000

    def __init__(self, threads):
        assert threads == 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, trial):
        if len(self.asked) >= self.patience:
            raise KeyboardInterrupt
        self.asked.append(trial)
        if trial["kind"] == REFERENCE:
            return {"entries_per_second": 1e8}
        if trial["solver"] == "sorted_pursuit" and trial["seed"] == 1:
            raise RuntimeError("broken on purpose")
        optimal = trial["solver"] == "meet_in_the_middle"
        seconds = trial["time_limit"] / 2
        common = {"claimed_optimal": optimal, "claimed_bound": 0.0, "found_by": trial["solver"]}
        return {"error": 0.5 ** trial["n"], "seconds": seconds, "work": 10**6, "note": "done", **common}


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(study, "Worker", FakeWorker)
    monkeypatch.setattr(FakeWorker, "asked", [])
    monkeypatch.setattr(FakeWorker, "patience", 1_000)
    return FakeWorker


def arguments(out, *more):
    cells = ["--cells", "law=nsn", "d=1,2", "n=10,12", "size=free,fixed"]
    return [*cells, "--solvers", "meet_in_the_middle,sorted_pursuit", "--instances", "2", "--out", str(out), *more]


def test_a_stopped_study_goes_on_where_it_was(fake, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(study, "_write_report", lambda *_: "")
    references = len(reference_parameters(1 << 24))
    monkeypatch.setattr(fake, "patience", references + 5)
    assert study.main(arguments(tmp_path, "--limit", "2")) == 130
    assert "goes on" in capsys.readouterr().err
    before = list(fake.asked)
    monkeypatch.setattr(fake, "patience", 1_000)
    assert study.main(arguments(tmp_path, "--limit", "2")) == 0
    asked = [
        (it["solver"], it["d"], it["n"], it["cardinality"], it["seed"], it["time_limit"])
        for it in fake.asked[references:]
    ]
    assert len(asked) == len(set(asked))
    # 8 cells, 2 instances: the pursuit at 3 limits, the other only at the first because that ended with a proof
    assert len(asked) == 8 * 2 * (3 + 1)
    assert fake.asked[: len(before)] == before
    assert study.main(arguments(tmp_path, "--limit", "2")) == 0
    assert len(fake.asked) == references + len(asked)
    assert study.main(arguments(tmp_path, "--limit", "2", "--redo", "meet_in_the_middle")) == 0
    assert len(fake.asked) == references + len(asked) + 16
    assert study.main(arguments(tmp_path, "--limit", "2", "--restart")) == 0
    assert len(fake.asked) == 2 * references + 2 * len(asked) + 16


def test_a_study_leaves_tables_and_figures(fake, tmp_path, capsys):
    assert study.main(arguments(tmp_path, "--limit", "1")) == 0
    assert "Cells where ours is not ahead: 0 of 0 with a peer" in capsys.readouterr().out
    made = {path.name for path in tmp_path.iterdir()} - {"study.db", "study.db-wal", "study.db-shm"}
    pictures = {"anytime_nsn_free.png", "anytime_nsn_fixed.png", "bits_free.png", "bits_fixed.png", "roofline.png"}
    assert made == {"table.md", "cells.csv", "trials.csv", "skipped.csv"} | pictures
    assert "broken on purpose" in (tmp_path / "table.md").read_text()
    with (tmp_path / "trials.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 8 * 2 * 2 * 2
    copied = [row for row in rows if row["solver"] == "meet_in_the_middle" and row["time_limit_s"] == "1.0"]
    assert {row["seconds"] for row in copied} == {"0.05"}


def test_a_budget_ends_a_study_early_and_the_report_says_what_is_missing(fake, tmp_path, capsys):
    assert study.main(arguments(tmp_path, "--limit", "1", "--budget", "1e-9")) == 0
    assert "goes on" in capsys.readouterr().err
    assert not fake.asked
    text = (tmp_path / "table.md").read_text()
    assert "64 planned trials have not been run" in text
    assert text.count("| not finished |") == 8


@pytest.mark.parametrize(
    "wrong", [["--cells", "m=3"], ["--cells", "n=0"], ["--cells", "law=cauchy"], ["--solvers", "x"]]
)
def test_bad_arguments_are_one_line(wrong, tmp_path, capsys):
    assert study.main(["--out", str(tmp_path / "never"), *wrong]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "never").exists()


def test_the_worker_solves_verifies_and_kills(monkeypatch):
    slow = grid.trial_parameters(Problem(Cell("gaussian", 9, 60), 0), Contestant(Side.WRAPPED, "cp_sat"), 20.0, 1)
    with worker.Worker(1, grace=-19.5) as child:
        result = child.run(slow)
        assert result["error"] == math.inf
        assert "killed" in result["note"]
        child.grace = 5.0
        result = child.run(grid.trial_parameters(Problem(CELL, 3), OURS, 10.0, 1))
        solved = study.sslth.solve(Problem(CELL, 3).draw(), "brute_force")
        assert result["error"] == solved.error
        assert result["claimed_optimal"]
        assert result["work"] == solved.stats["work"] > 0
        result = child.run(grid.trial_parameters(Problem(Cell("gaussian", 1, 30), 0), OURS, 1.0, 1))
        assert result["refused"]
        assert "24 rows" in result["note"]
        with pytest.raises(RuntimeError, match="KeyError"):
            child.run({**slow, "solver": "nobody"})
        child._process.kill()
        assert "died" in child.run(slow)["note"]
    assert child._process is None


def test_what_is_no_subset_has_no_error():
    instance = draw_instance("gaussian", 5, 2, cardinality=2)
    assert worker._verified(instance, None) == (math.inf, 0, "no subset")
    assert worker._verified(instance, [1, 1])[0] == math.inf
    assert worker._verified(instance, [0, 1, 2])[:2] == (math.inf, 3)
    assert worker._verified(instance, [0, 1])[0] == study.sslth.verify(instance, [0, 1]).error


# ------------------------------------------------------------------------------------------------ judgements


def test_a_median_counts_what_was_not_found():
    assert median([1.0, math.inf, 3.0]) == 3.0
    assert median([1.0, math.inf, math.inf]) == math.inf
    assert median([math.inf, math.inf]) == math.inf
    assert median([2.0, 1.0]) == 1.5
    assert math.isnan(median([]))


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [
        ({"error": 1.0}, {"error": 2.0}, Verdict.AHEAD),
        ({"error": 2.0}, {"error": 1.0}, Verdict.BEHIND),
        ({"error": 1.0}, {"error": 1.0}, Verdict.LEVEL),
        ({"error": 1.0, "optimal": True}, {"error": 1.0}, Verdict.AHEAD),
        ({"error": 1.0}, {"error": 1.0, "optimal": True}, Verdict.BEHIND),
        ({"error": 1.0, "optimal": True, "seconds": 2.0}, {"error": 1.0, "optimal": True}, Verdict.BEHIND),
        ({"error": 1.0, "optimal": True, "seconds": 0.5}, {"error": 1.0, "optimal": True}, Verdict.AHEAD),
        ({"error": 1.0}, {"error": math.inf}, Verdict.AHEAD),
        ({"error": math.inf}, {"error": 1.0}, Verdict.BEHIND),
        ({"error": math.inf}, {"error": math.inf}, Verdict.LEVEL),
    ],
)
def test_verdicts(ours, theirs, verdict):
    (result,) = judged(measured(OURS, **ours), measured(PEER, **theirs))
    assert result.verdict is verdict


def test_the_best_of_each_side_and_the_ratios():
    (result,) = judged(
        measured(AUTO, 3.0),
        measured(OURS, 2.0, optimal=True, seconds=0.01),
        measured(PEER, 8.0, seconds=1.1),
        measured(OTHER, 9.0, seconds=0.1),
        measured(Contestant(Side.WRAPPED, "cp_sat"), 1.9),
    )
    assert (result.ours.contestant, result.peer.contestant) == (OURS, PEER)
    assert (result.error_ratio, result.auto_ratio) == (4.0, 1.5)
    assert not result.ours.proven  # somebody found a smaller error
    (result,) = judged(measured(OURS, 2.0, optimal=True, seconds=0.01), measured(PEER, 8.0, seconds=0.3))
    assert (result.proof_ratio, result.proof_ratio_is_bound) == (100.0, True)


def test_auto_earns_nothing_with_somebody_elses_engine():
    (result,) = judged(measured(OURS, 2.0), measured(AUTO, 1.0, found_by="cp_sat"), measured(PEER, 1.5))
    assert result.ours.contestant == OURS
    assert result.verdict is Verdict.BEHIND


def test_only_instances_that_everybody_has_run_count():
    trials = [measured(OURS, 1.0), measured(PEER, 2.0), measured(OURS, 9.0, seed=1)]
    plan = planned([*trials, measured(PEER, 0.0, seed=1)])
    (result,) = judged(*trials, plan=plan)
    assert (result.instances, result.ours.error) == (1, 1.0)
    (result,) = judged(trials[0], plan=plan)
    assert result.verdict is Verdict.UNFINISHED
    (result,) = judged(measured(OURS, 1.0))
    assert result.verdict is Verdict.ALONE


def test_false_claims_are_found_and_true_ones_are_not():
    trials = [
        measured(OURS, 1.0, optimal=True, bound=math.nextafter(1.0, 0.0)),
        measured(PEER, 1.5, optimal=True, limit=10.0),
        measured(OTHER, 2.0, bound=1.25),
        measured(PEER, 7.0, optimal=True, seed=1, limit=10.0),
    ]
    assert [(it.contestant, it.what, it.claimed, it.error) for it in false_claims(trials)] == [
        (PEER, "optimum", 1.5, 1.0),
        (OTHER, "bound", 1.25, 1.0),
    ]


def test_cells_where_ours_is_behind_stand_on_top():
    bad = Cell("nsn", 2, 60, 15)
    trials = [measured(OURS, 1.0), measured(PEER, 2.0), measured(OURS, 3.0, cell=bad), measured(PEER, 2.0, cell=bad)]
    trials.append(measured(OTHER, 9.0, seconds=7.0))
    claims = false_claims(trials)
    text = markdown(judge(planned(trials), trials, claims), claims, [], trials, {}, 0, {"machine": "a test"})
    top, rest = text.split("## All cells")
    assert "not ahead: 1 of 2" in top
    assert "| nsn | 60 | 2 | k=15 |" in top
    assert "| gaussian | 20 | 1 | free |" not in top
    assert "| gaussian | 20 | 1 | free |" in rest
    assert "| nsn | 60 | 2 | k=15 |" in rest
    assert "`others (peer)`: 1 answers more than .2 s late" in rest


# ------------------------------------------------------------------------------- floors, roofline, figures


@pytest.mark.parametrize("law", grid.LAWS)
@pytest.mark.parametrize("cardinality", [None, 250])
def test_the_normal_floor_is_the_floor_where_both_can_be_had(law, cardinality):
    cell = Cell(law, 4, 1_000, cardinality)
    exact = math.log2(first_moment_floor(Problem(cell, 0).outline(), law))
    assert normal_log2_floor(cell) == pytest.approx(exact, abs=0.05)


def test_floors_are_stored_and_may_be_below_every_float():
    with Store(":memory:") as store:
        far = log2_floor(Cell("gaussian", 1, 20_000), store)
        assert far == pytest.approx(-20_000, abs=20)
        assert log2_floor(Cell("gaussian", 1, 20_000), store) == far
        assert len(store.rows()) == 1


def test_references_are_measured():
    for parameters in reference_parameters(1 << 10):
        assert measure_reference(parameters)["entries_per_second"] > 0


def test_figures_can_be_drawn_where_nobody_found_anything():
    trials = [measured(OURS, math.inf), measured(PEER, math.inf)]
    results = judged(*trials)
    assert figures.draw_anytime(trials, "gaussian", "free", {CELL: -5.0}).axes
    assert figures.draw_bits(results, "free", {CELL: -5.0}).axes
    assert figures.draw_roofline([], {}).axes


def test_an_unknown_axis_is_refused():
    with pytest.raises(InvalidInputError, match="law, n, d, size"):
        study._axes(["k=3"])
