"""How a verdict follows from numbers, and what every claim of the package keeps to."""

from __future__ import annotations

import json
import math
import pickle
import re
from pkgutil import iter_modules

import numpy as np
import pytest

import sslth.theory.claims as package
from sslth.errors import InvalidInputError
from sslth.theory.claims import Case, Effort, Findings, Side, Verdict, claims
from sslth.theory.claims.claim import cell_rng
from sslth.theory.intervals import clopper_pearson


def case(interval, bound=0.5, side=Side.AT_LEAST, **more) -> Case:
    low, high = interval
    middle = (low + high) / 2 if math.isfinite(low + high) else max(low, min(high, 0.0))
    return Case("a number", more.pop("estimate", middle), interval, bound, side, **more)


# -------------------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("interval", "side", "verdict"),
    [
        ((0.6, 0.8), Side.AT_LEAST, Verdict.HOLDS),
        ((0.5, 0.8), Side.AT_LEAST, Verdict.HOLDS),  # "at least" includes the bound
        ((0.4, 0.8), Side.AT_LEAST, Verdict.UNDECIDED),
        ((0.4, 0.5), Side.AT_LEAST, Verdict.UNDECIDED),  # the bound itself would be all right
        ((0.2, 0.4), Side.AT_LEAST, Verdict.VIOLATED),
        ((0.2, 0.4), Side.AT_MOST, Verdict.HOLDS),
        ((0.2, 0.5), Side.AT_MOST, Verdict.HOLDS),
        ((0.2, 0.6), Side.AT_MOST, Verdict.UNDECIDED),
        ((0.5, 0.6), Side.AT_MOST, Verdict.UNDECIDED),
        ((0.6, 0.8), Side.AT_MOST, Verdict.VIOLATED),
        ((0.5, 0.5), Side.AT_LEAST, Verdict.HOLDS),
        ((0.5, 0.5), Side.AT_MOST, Verdict.HOLDS),
        ((0.4, math.inf), Side.AT_MOST, Verdict.UNDECIDED),
        ((-math.inf, math.inf), Side.AT_LEAST, Verdict.UNDECIDED),
    ],
)
def test_the_interval_its_bound_and_side_decide(interval, side, verdict):
    assert case(interval, side=side).verdict is verdict


@pytest.mark.parametrize("side", Side)
def test_at_least_and_at_most_are_mirror_images(side):
    other = {Side.AT_LEAST: Side.AT_MOST, Side.AT_MOST: Side.AT_LEAST}[side]
    for low, high in [(0.1, 0.2), (0.4, 0.6), (0.7, 0.9), (0.5, 0.7)]:
        one, two = case((low, high), side=side), case((-high, -low), bound=-0.5, side=other)
        assert one.verdict is two.verdict
        assert one.margin == pytest.approx(two.margin)


def test_a_proof_decides_what_touches_and_saves_nothing_that_is_violated():
    assert case((0.4, 0.6), proof="equality at the edge").verdict is Verdict.HOLDS
    assert case((0.1, 0.4), proof="equality at the edge").verdict is Verdict.VIOLATED


def test_without_a_bound_nothing_can_be_tested():
    fitted = case((3.0, 4.0), bound=None, side=None, repetitions=100)
    assert fitted.verdict is Verdict.NOT_TESTABLE
    assert fitted.margin == math.inf
    assert fitted.more_repetitions is None


def test_impossible_cases_are_refused():
    with pytest.raises(InvalidInputError, match=r"the estimate 0\.9 lies outside"):
        case((0.1, 0.2), estimate=0.9)
    with pytest.raises(InvalidInputError, match="outside"):
        case((0.1, 0.2), estimate=math.nan)
    with pytest.raises(InvalidInputError, match="a bound needs a side"):
        case((0.1, 0.2), side=None)
    with pytest.raises(InvalidInputError, match="a bound needs a side"):
        case((0.1, 0.2), bound=None)


def test_the_margin_is_relative_and_negative_beyond_the_bound():
    assert case((0.6, 0.9)).margin == pytest.approx(0.2)
    assert case((0.4, 0.9)).margin == pytest.approx(-0.2)
    assert case((0.1, 0.4), side=Side.AT_MOST).margin == pytest.approx(0.2)
    assert case((0.1, 0.4), bound=0.0).margin == pytest.approx(0.1)


# ------------------------------------------------------------------------------------------ more repetitions


def test_four_times_the_draws_halve_the_interval():
    open_case = case((0.44, 0.6), estimate=0.52, repetitions=100)  # half an interval of .08, a gap of .02
    assert open_case.more_repetitions == 1500
    assert case((0.4, 0.56), estimate=0.48, side=Side.AT_MOST, repetitions=100).more_repetitions == 1500


@pytest.mark.parametrize(("share", "side"), [(0.53, Side.AT_LEAST), (0.46, Side.AT_MOST), (0.53, Side.AT_MOST)])
def test_as_many_more_draws_do_decide(share, side):
    m = 500
    before = Case("share", share, clopper_pearson(round(share * m), m, 0.99), 0.5, side, repetitions=m)
    assert before.verdict is Verdict.UNDECIDED
    total = int((m + before.more_repetitions) * 1.02)  # Clopper-Pearson is a little wider than proportional
    after = Case("share", share, clopper_pearson(round(share * total), total, 0.99), 0.5, side, repetitions=total)
    assert after.verdict is not Verdict.UNDECIDED


def test_no_number_of_draws_is_promised_where_none_decides():
    assert case((0.4, 0.6), estimate=0.5, repetitions=100).more_repetitions is None  # exactly on the bound
    assert case((0.4, 0.8), estimate=0.6).more_repetitions is None  # nothing was drawn
    assert case((0.6, 0.8), repetitions=100).more_repetitions is None  # decided
    assert case((-math.inf, math.inf), estimate=0.6, repetitions=3).more_repetitions is None


# -------------------------------------------------------------------------------------------------- findings


HOLDS, OPEN = case((0.6, 0.8)), case((0.4, 0.9))
BROKEN, FITTED = case((0.1, 0.2)), case((1.0, 2.0), bound=None, side=None)


@pytest.mark.parametrize(
    ("cases", "verdict"),
    [
        ([HOLDS], Verdict.HOLDS),
        ([HOLDS, FITTED], Verdict.NOT_TESTABLE),
        ([FITTED, OPEN, HOLDS], Verdict.UNDECIDED),
        ([HOLDS, OPEN, BROKEN, FITTED], Verdict.VIOLATED),
    ],
)
def test_the_worst_case_speaks_for_the_claim(cases, verdict):
    findings = Findings(cases)
    assert findings.verdict is verdict
    assert findings.decisive.verdict is verdict


def test_the_case_nearest_to_its_bound_is_shown():
    near, far = case((0.51, 0.6)), case((0.9, 0.95))
    assert Findings([far, near]).decisive is near
    worse = case((0.0, 0.1))
    assert Findings([worse, BROKEN, near]).decisive is worse


# -------------------------------------------------------------------------------------------------- randomness


def test_a_cell_draws_by_claim_seed_and_index_alone():
    def draw(claim, **parameters):
        return cell_rng(claim, parameters).random(4).tolist()

    base = draw(3, seed=5, index=2)
    assert draw(3, seed=5, index=2, epsilon=0.1) == base
    assert draw(3, seed=5) == draw(3, seed=5, index=0)
    others = [draw(4, seed=5, index=2), draw(3, seed=6, index=2), draw(3, seed=5, index=3), draw(3, seed=5)]
    assert all(other != base for other in others)
    assert len({tuple(other) for other in others}) == len(others)


# ---------------------------------------------------------------------------------- all claims of the package


def test_every_claim_file_is_found_and_no_number_is_taken_twice():
    files = [module.name for module in iter_modules(package.__path__) if module.name.startswith("claim_")]
    assert len(claims()) == len(files)
    assert list(claims()) == sorted(claims())
    assert all(number == claim.number for number, claim in claims().items())


@pytest.mark.parametrize("claim", claims().values(), ids=lambda claim: str(claim.number))
def test_a_claim_says_what_it_is_and_lists_cells_that_a_store_can_name(claim):
    assert claim.name
    assert claim.statement
    assert re.search(r"\b(19|20)\d\d\b|arXiv:\d{4}\.\d{4}", claim.source), "a source has a year or a number"
    for effort in Effort:
        cells = claim.cells(effort, 7)
        texts = [json.dumps(cell, sort_keys=True, allow_nan=False) for cell in cells]
        assert len(set(texts)) == len(texts) > 0
        assert [json.dumps(cell, sort_keys=True) for cell in claim.cells(effort, 7)] == texts
    drawn = [cell for cell in claim.cells(Effort.FULL, 7) if "seed" in cell]
    assert all(cell["seed"] == 7 for cell in drawn)
    streams = [cell.get("index", 0) for cell in drawn]
    assert len(set(streams)) == len(streams), "two cells would draw the same numbers"


@pytest.mark.parametrize("claim", claims().values(), ids=lambda claim: str(claim.number))
def test_a_worker_process_can_be_sent_what_it_evaluates(claim):
    assert pickle.loads(pickle.dumps(claim.evaluate)) is not None


def test_draws_of_two_claims_do_not_meet():
    first = [float(cell_rng(number, {"seed": 0}).random()) for number in claims()]
    assert len(np.unique(first)) == len(first)
