"""Meet in the middle on torch devices: both halves streamed, filtered, sorted and matched, on one GPU or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import prove_optimum
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome

__all__ = ["MeetInTheMiddleTorch"]


@dataclass(frozen=True)
class MeetInTheMiddleTorch:
    """Prove the optimum from two halves of the rows, by torch, on one device or several.

    Idea: as the streams of `meet_in_the_middle`. The sums of each half come slab by slab (a slab is an interval of the
    first coordinate) from two lists of 2^(n/4) sums, as in [SchroeppelShamir1981]_. A sum has a cell, a few bits of
    several coordinates packed into one int64. On the device, a table of bytes tells which sums of either half have a
    partner's cell; those few are sorted and matched by binary search. Pairs that share a cell are compared coordinate
    by coordinate, in int64, so that nothing is rounded and any device gives the same answer; subsets within the
    rounding of the grid are compared exactly on the CPU. The window around the target grows until a pass is
    conclusive, and every pass proves a bound.

    Slabs are independent: with several devices each takes the next one, and results are read in order. A slab that is
    larger than what fits at a time is made in chunks, each chunk of one half against each of the other. Where a device
    runs out of memory, chunks become half as long, and one `RuntimeWarning` says so. Where a GPU fails for another
    reason, the best subset so far is returned with a warning and without a proof.

    The answer is the same for any number of devices of any kind, as long as `memory_bytes` and the longest chunk are:
    among equal optima, or subsets within the tolerance, the slabs decide. The limits are asked for between chunks,
    `max_work` between slabs.

    Cost: O(2^(n/2)) time where d is small against n, O(2^(n/4)) memory besides the chunks. On a CPU it is many times
    slower than `meet_in_the_middle`, and `auto` never takes it; `benchmarks/exact_on_device.py` counts states a second.
    On a GPU it is not yet measured.

    Fails where the lists do not fit `memory_bytes` (`InvalidInputError` before anything is allocated), and slowly where
    d is large against n: the cells are then coarse, and nearly all pairs are compared.

    Parameters
    ----------
    device : str or sequence of str
        "auto" (the GPU where there is one), "cpu", "cuda", "cuda:1", or several: ("cuda:0", "cuda:1").
    memory_bytes : int
        What may be allocated on each device. A GPU does more at a time with more: 2^33 gives the longest chunks.

    Examples
    --------
    >>> MeetInTheMiddleTorch("cpu")(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    device: str | Sequence[str] = "auto"
    memory_bytes: int = 1 << 30

    @property
    def name(self) -> str:
        """The registry name."""
        return "meet_in_the_middle_torch"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the optimum is proven, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If a device cannot be used, or the lists do not fit into `memory_bytes`.
        """
        # torch takes seconds to import, and whoever only reads the registry needs none
        from sslth.subset_sum.exact.device_join import DeviceJoin
        from sslth.subset_sum.exact.devices import usable_devices

        devices = usable_devices(self.device)
        grid = to_fixed_point(instance)
        problem = HalvedProblem.of(instance, grid)
        join = DeviceJoin(problem, limits, devices, self.memory_bytes)
        buffer = CandidateBuffer(instance, grid, limits, join.decode)
        proof = prove_optimum(problem, grid, join, buffer)
        return Outcome(
            subset=buffer.best_subset(),
            stopped_by=proof.stopped_by,
            lower_bound=grid.lower_bound(proof.proven),
            work=join.work,
            details={
                "candidates": int(buffer.control[0]),
                "slack": grid.slack,
                "passes": proof.passes,
                "half_sizes": problem.half_sizes,
                "devices": [str(where) for where in devices],
                "chunks": list(join.chunks),
                "slabs": join.slabs,
                "pairs": join.pairs,
                "bytes_needed": join.bytes_needed(),
            },
        )
