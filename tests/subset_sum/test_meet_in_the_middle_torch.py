"""Meet in the middle by torch on the CPU: against brute force, in many chunks and slabs, and when memory runs out."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import torch
from exact_cases import CASES, check_proof, true_error
from torch.utils._python_dispatch import TorchDispatchMode

from sslth.errors import InvalidInputError
from sslth.subset_sum.draw_instance import draw_instance
from sslth.subset_sum.exact import device_join, device_slabs
from sslth.subset_sum.exact.device_join import DeviceJoin, lists_bytes, with_fitting_lists
from sslth.subset_sum.exact.device_slabs import Marks, SlabSearch
from sslth.subset_sum.exact.device_streams import Spans, signed
from sslth.subset_sum.exact.devices import usable_devices
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Status, StoppedBy
from sslth.subset_sum.solve import solve
from sslth.subset_sum.solvers.auto import plan
from sslth.subset_sum.solvers.brute_force import BruteForce
from sslth.subset_sum.solvers.meet_in_the_middle import MeetInTheMiddle
from sslth.subset_sum.solvers.meet_in_the_middle_torch import MeetInTheMiddleTorch
from sslth.subset_sum.verify import verify

SIZES = [{}, {"cardinality": 0}, {"cardinality": 3}, {"cardinality": 6}, {"cardinality": 8}, {"max_cardinality": 2}]
ON_CPU = MeetInTheMiddleTorch("cpu")


def in_chunks(instance: Instance, chunk: int, device="cpu") -> MeetInTheMiddleTorch:
    """The solver with just the memory for so many sums at a time."""
    problem = HalvedProblem.of(instance, to_fixed_point(instance))
    memory = 0
    for _ in range(3):  # with more memory the lists may be longer
        memory = lists_bytes(with_fitting_lists(problem, memory)) + device_join._BYTES_PER_SUM * chunk
    return MeetInTheMiddleTorch(device, memory)


# ------------------------------------------------------------------------------------------ the optimum


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_optimum_is_exact(name, sizes):
    instance = Instance(*CASES[name], **sizes)
    check_proof(instance, ON_CPU(instance, Limits()))


@pytest.mark.needs_jit
@pytest.mark.parametrize("sizes", [{}, {"cardinality": 5}, {"cardinality": 14}, {"max_cardinality": 4}], ids=str)
@pytest.mark.parametrize("d", [1, 2, 3, 5, 9, 30])
def test_it_agrees_with_brute_force(d, sizes):
    rng = np.random.default_rng(d)
    for law in (rng.standard_normal((17, d)), rng.standard_normal((17, d)) * rng.standard_normal((17, 1)) ** 3):
        instance = Instance(law, rng.uniform(-1, 1, d), **sizes)
        exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
        check_proof(instance, ON_CPU(instance, Limits()), exact)
        outcome = in_chunks(instance, 64)(instance, Limits())
        check_proof(instance, outcome, exact)
        assert outcome.details["chunks"] == [64]


@pytest.mark.needs_jit
@pytest.mark.parametrize("n", [1, 2, 5, 12, 22])
@pytest.mark.parametrize("law", ["ties", "duplicates and zeros", "one key"])
def test_awkward_rows_agree_with_brute_force(law, n):
    rng = np.random.default_rng(n)
    rows = {
        "ties": rng.integers(-3, 4, (n, 2)).astype(float),
        "duplicates and zeros": rng.standard_normal((3, 3))[rng.integers(0, 3, n)] * rng.integers(0, 2, (n, 1)),
        # the first coordinate of a sum says next to nothing: slabs cannot be cut into chunks
        "one key": np.column_stack([np.full(n, 1.0), rng.standard_normal(n) / 100]),
    }[law]
    target = rows[: n // 2].sum(axis=0)
    target[-1] += 2.0**-10
    instance = Instance(rows, target)
    exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
    for chunk in (64, 1 << 17):
        check_proof(instance, in_chunks(instance, chunk)(instance, Limits()), exact)


@pytest.mark.needs_jit
@pytest.mark.parametrize(("n", "d", "sizes"), [(34, 1, {}), (34, 2, {}), (30, 4, {}), (34, 3, {"cardinality": 12})])
def test_devices_and_memory_change_no_proof(n, d, sizes):
    instance = draw_instance("nsn", n, d, 5, **sizes)
    one = in_chunks(instance, 1 << 12)(instance, Limits())
    two = in_chunks(instance, 1 << 12, ("cpu", "cpu", "cpu"))(instance, Limits())
    assert one.details["slabs"] > 5
    assert one.stopped_by is two.stopped_by is StoppedBy.PROOF
    assert (one.subset.tolist(), one.work, one.lower_bound) == (two.subset.tolist(), two.work, two.lower_bound)
    assert two.details["devices"] == ["cpu"] * 3
    theirs = MeetInTheMiddle()(instance, Limits())
    assert verify(instance, one.subset).error == verify(instance, theirs.subset).error


@pytest.mark.needs_jit
@pytest.mark.parametrize("seed", [2, 3])
def test_a_window_that_outgrows_the_best_error_is_still_searched(seed):
    instance = draw_instance("uniform", 24, 12, seed, cardinality=8)
    exact = true_error(instance, BruteForce()(instance, Limits()).subset.tolist())
    check_proof(instance, ON_CPU(instance, Limits()), exact)


def test_few_of_very_many_rows():
    rows = np.random.default_rng(2).standard_normal((400, 2))
    instance = Instance(rows, rows[[3, 311]].sum(axis=0) + 1e-9, cardinality=2)
    outcome = ON_CPU(instance, Limits())
    assert outcome.stopped_by is StoppedBy.PROOF
    assert outcome.subset.tolist() == [3, 311]


def test_many_ties_within_the_rounding_end_with_a_bound_instead_of_a_proof():
    rows = 0.1 + np.arange(20)[:, None] * 2.0**-56
    instance = Instance(np.vstack([rows, [[1e8]]]), [0.95])
    outcome = ON_CPU(instance, Limits())
    assert outcome.details["slack"] > 0
    assert outcome.stopped_by is StoppedBy.DONE
    assert 0.049 < outcome.lower_bound <= verify(instance, outcome.subset).error


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize("chunk", [64, 1 << 17])
@pytest.mark.parametrize("d", [1, 2])
def test_the_tolerance_is_inclusive(d, chunk):
    rng = np.random.default_rng(d)
    for scale in (np.ones((12, d)), 10.0 ** rng.uniform(-30, 10, (12, d))):
        instance = Instance(rng.standard_normal((12, d)) * scale, rng.standard_normal(d) * 1e-3)
        solver = in_chunks(instance, chunk)
        optimum = solver(instance, Limits()).subset
        best = verify(instance, optimum).error
        at = solver(instance, Limits(tolerance=best))
        assert at.stopped_by is StoppedBy.TOLERANCE
        assert verify(instance, at.subset).error <= best
        below = solver(instance, Limits(tolerance=float(np.nextafter(best, 0))))
        check_proof(instance, below, true_error(instance, optimum.tolist()))


@pytest.mark.needs_jit
def test_a_tolerance_that_no_subset_meets_is_refuted():
    instance = draw_instance("gaussian", 30, 2, 3)
    best = solve(instance, ON_CPU)
    refuted = solve(instance, ON_CPU, tolerance=best.error / 2)
    assert refuted.status is Status.OPTIMAL
    assert refuted.lower_bound > best.error / 2
    met = solve(instance, ON_CPU, tolerance=3 * best.error)
    assert met.error <= 3 * best.error
    assert met.stats["stopped_by"] == "tolerance"


@pytest.mark.needs_jit
def test_work_is_a_limit_and_the_answer_repeats():
    instance = draw_instance("gaussian", 30, 5, 0)
    whole = verify(instance, ON_CPU(instance, Limits()).subset).error
    one, two = (in_chunks(instance, 1 << 12, where) for where in ("cpu", ("cpu", "cpu")))
    for max_work in (1, 10_000, 40_000):
        runs = [solver(instance, Limits(max_work=max_work)) for solver in (one, two)]
        assert runs[0].stopped_by is StoppedBy.WORK
        assert runs[0].subset.tolist() == runs[1].subset.tolist()
        assert runs[0].work == runs[1].work
        assert runs[0].lower_bound <= whole <= verify(instance, runs[0].subset).error


@pytest.mark.needs_jit
@pytest.mark.parametrize("seconds", [0.0, 3.0, 20.0])
def test_the_clock_is_a_limit(seconds):
    ticks = itertools.count(0.0, 1.0)
    instance = draw_instance("gaussian", 34, 6, 0)
    outcome = in_chunks(instance, 1 << 12)(instance, Limits(time_limit=seconds, clock=lambda: next(ticks)))
    assert outcome.stopped_by is StoppedBy.TIME
    assert outcome.lower_bound <= verify(instance, outcome.subset).error


@pytest.mark.parametrize("devices", ["cpu", ("cpu", "cpu")])
def test_an_interrupt_ends_the_search_with_the_best_so_far(devices, monkeypatch):
    instance = draw_instance("gaussian", 26, 1, 0)
    limits = Limits()
    begun = itertools.count()
    run = SlabSearch.run

    def interrupted_at_the_fourth(self, *arguments):
        if next(begun) == 3:
            limits.interrupted.set()
        run(self, *arguments)

    monkeypatch.setattr(SlabSearch, "run", interrupted_at_the_fourth)
    outcome = in_chunks(instance, 256, devices)(instance, limits)
    assert outcome.stopped_by is StoppedBy.INTERRUPT
    assert next(begun) < 8
    assert outcome.lower_bound <= verify(instance, outcome.subset).error < np.inf


# ------------------------------------------------------------------------------------------ memory and devices


class LongestTensor(TorchDispatchMode):
    """Notes how many elements the largest result had."""

    longest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple) else (result,):
            if isinstance(each, torch.Tensor):
                self.longest = max(self.longest, each.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize(("d", "sizes"), [(1, {}), (3, {"max_cardinality": 7}), (12, {})], ids=str)
def test_no_tensor_is_longer_than_a_chunk(d, sizes):
    instance = draw_instance("gaussian", 26, d, 1, **sizes)
    for chunk in (1 << 9, 1 << 11):
        problem = HalvedProblem.of(instance, to_fixed_point(instance))
        lists = 8 * (1 + 13 * bool(sizes)) * max(problem.quarter_sizes) * max(d, 2)
        with LongestTensor() as watch:
            in_chunks(instance, chunk)(instance, Limits(max_work=30_000))
        assert watch.longest <= max(lists, 16 * chunk)
    assert max(problem.half_sizes) > 2 * chunk


def test_the_second_list_is_longer_where_there_is_room():
    instance = draw_instance("gaussian", 40, 2, 0)
    problem = HalvedProblem.of(instance, to_fixed_point(instance))
    for memory, sizes in (
        (2_000_000, [1 << 8, 1 << 12]),
        (1_200_000, [1 << 9, 1 << 11]),
        (310_000, [1 << 10, 1 << 10]),
    ):
        join = DeviceJoin(problem, Limits(), usable_devices("cpu"), memory)
        assert join.problem.quarter_sizes == sizes * 2
        assert join.bytes_needed() <= memory
    few = draw_instance("gaussian", 40, 2, 0, max_cardinality=9)
    problem = HalvedProblem.of(few, to_fixed_point(few))
    least = min(lists_bytes(with_fitting_lists(problem, memory)) for memory in (0, 1 << 20, 1 << 30))
    assert lists_bytes(with_fitting_lists(problem, 0)) == least


def test_too_little_memory_says_how_much_is_needed():
    instance = Instance(np.random.default_rng(0).standard_normal((110, 2)), [0.0, 0.1])
    with pytest.raises(InvalidInputError, match=r"needs \d.* GiB on each device, but may use 1 GiB; give it more"):
        ON_CPU(instance, Limits())
    with pytest.raises(InvalidInputError, match=r"needs more than 2\*\*"):
        ON_CPU(Instance(np.random.default_rng(0).standard_normal((5000, 2)), [0.0, 0.1]), Limits())


@pytest.mark.needs_jit
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("devices", ["cpu", ("cpu", "cpu")])
def test_where_memory_runs_out_chunks_halve_and_one_warning_says_so(devices, error, monkeypatch):
    instance = draw_instance("gaussian", 26, 2, 4)
    exact = ON_CPU(instance, Limits())
    room = Marks.set

    def little_room(self, places):
        if places.numel() > 300:
            raise error
        room(self, places)

    monkeypatch.setattr(Marks, "set", little_room)
    with pytest.warns(RuntimeWarning, match="not enough memory on cpu for 4096 sums") as said:
        outcome = in_chunks(instance, 1 << 12, devices)(instance, Limits())
    assert len(said) == 1
    assert max(outcome.details["chunks"]) == 256
    assert outcome.stopped_by is StoppedBy.PROOF
    assert verify(instance, outcome.subset).error == verify(instance, exact.subset).error


def test_where_there_is_no_memory_at_all_one_sentence_says_so(monkeypatch):
    def no_room(self, places):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB.")

    monkeypatch.setattr(Marks, "set", no_room)
    instance = draw_instance("gaussian", 20, 2, 4)
    with pytest.raises(InvalidInputError, match="cpu has no memory for 64 sums"):
        ON_CPU(instance, Limits())


def test_a_device_that_fails_leaves_the_best_so_far(monkeypatch):
    instance = draw_instance("gaussian", 26, 1, 0)
    begun = itertools.count()
    run = SlabSearch.run

    def fails_at_the_fourth(self, *arguments):
        if next(begun) == 3:
            raise RuntimeError("CUDA error: an illegal memory access\nwas encountered")
        run(self, *arguments)

    monkeypatch.setattr(SlabSearch, "run", fails_at_the_fourth)
    with pytest.raises(RuntimeError, match="illegal"):  # on a CPU it is a mistake of ours
        in_chunks(instance, 256)(instance, Limits())
    begun = itertools.count()
    search = DeviceJoin._search
    monkeypatch.setattr(DeviceJoin, "_search", lambda self, _, *more: search(self, torch.device("cpu"), *more))
    monkeypatch.setattr("sslth.subset_sum.exact.devices._usable", lambda _: torch.device("cuda"))
    with pytest.warns(RuntimeWarning, match=r"the device cuda failed \(CUDA error: an illegal memory access was"):
        outcome = in_chunks(instance, 256)(instance, Limits())
    assert outcome.stopped_by is StoppedBy.DONE
    assert outcome.lower_bound <= verify(instance, outcome.subset).error


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", ["cpu", "cuda:99"], [], "meta"], ids=str)
def test_a_device_that_is_not_there_is_one_sentence(device):
    with pytest.raises(InvalidInputError, match="device") as refused:
        MeetInTheMiddleTorch(device)(Instance([[1.0]], [1.0]), Limits())
    assert "\n" not in str(refused.value)


def test_auto_never_takes_it():
    for n, d in ((20, 1), (40, 1), (40, 4), (60, 2)):
        steps = plan(draw_instance("gaussian", n, d, 0), Limits(time_limit=3600.0))
        assert "meet_in_the_middle_torch" not in {step.solver for step in steps}


def test_torch_is_imported_only_to_solve():
    code = (
        "import sys, sslth; from sslth.subset_sum.solvers import REGISTRY;"
        "REGISTRY['meet_in_the_middle_torch'].make(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------ the parts


def test_stretches_laid_end_to_end():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 4, 30) * (rng.random(30) < 0.6)
    starts = rng.integers(0, 100, 30)
    items = [(row, starts[row] + i) for row in range(30) for i in range(counts[row])]
    spans = Spans(torch.from_numpy(starts), torch.from_numpy(counts))
    assert spans.total == len(items)
    for begin, stop in itertools.combinations(range(len(items) + 1), 2):
        rows, places = spans.take(begin, stop)
        assert list(zip(rows.tolist(), places.tolist(), strict=True)) == items[begin:stop]
    assert Spans(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)).total == 0


def test_marks_never_miss_a_cell_that_was_set_and_forget_the_last_ones():
    rng = np.random.default_rng(0)
    some, others = torch.from_numpy(rng.integers(-(2**63), 2**63 - 1, (2, 1000)))
    marks = Marks(Marks.bits_for(1000), torch.device("cpu"))
    marks.set(marks.places(others))
    marks.set(marks.places(some))
    assert bool(marks.at(marks.places(some)).all())
    assert float(marks.at(marks.places(others)).float().mean()) < 0.2
    assert marks.table.numel() == 1 << 14


def test_words_keep_their_bits():
    for word in (0, 1, 2**63 - 1, 2**63, 2**64 - 1):
        assert signed(np.uint64(word)) % 2**64 == word
    assert device_slabs._GOLDEN % 2**64 == 0x9E3779B97F4A7C15
