"""Meet in the middle: all sums of either half of the rows, joined where they lie near each other."""

from __future__ import annotations

from dataclasses import dataclass

from sslth.subset_sum.candidate_buffer import CandidateBuffer
from sslth.subset_sum.exact.choose import choose_join
from sslth.subset_sum.exact.problem import HalvedProblem
from sslth.subset_sum.exact.search import prove_optimum
from sslth.subset_sum.fixed_point import to_fixed_point
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import Outcome

__all__ = ["MeetInTheMiddle"]


@dataclass(frozen=True)
class MeetInTheMiddle:
    """Prove the optimum from two halves of the rows [HorowitzSahni1974]_, stored or streamed.

    Idea: a sum a of one half and a sum b of the other can only meet the target if b lies in a window around
    target - a. The window starts at the error that the number of subsets lets one expect and grows until a pass is
    conclusive, so every pass that finds nothing proves a bound. There are three ways to make a pass.

    *Streams*, where d is small against n: the sums of each half are produced slab by slab from two sorted lists of
    2^(n/4) sums, as in [SchroeppelShamir1981]_, and never stored. A bitmap over cells of several coordinates says which
    sums of the other half have a partner; those few are compared. Slabs are shared among threads.

    *Tiles*, where d is larger: sums of one half that no sum of the other can come near are dropped, by up to 16
    directions in which the other half's sums do not reach far enough. What is left of both is stored, one half ordered
    by cells of the coordinates that cut most, with a byte of four or eight others. A sum of the other half looks at the
    few cells within its window, 64 rows at a time; those whose bytes are near are compared. Shared among threads.

    *Cells*, where tiles do not fit the memory or the halves are small: both are split along one coordinate after the
    other, and pairs of cells whose boxes cannot meet are dropped, as in a dual-tree search [GrayMoore2000]_.

    Sums are integers and do not drift; subsets within the rounding of the grid are compared exactly at the end. Equal
    rows are counted, not told apart; of more than half the rows the complement is sought. Same answer whatever the
    number of threads.

    Cost: streams take O(2^(n/2)) time, 4 to 14 ns a sum and core up to d = 4, and O(2^(n/4)) memory besides some MB a
    thread; tiles take 2^(n/2) times up to 48 bytes, and at n = 40 mostly 8 to 20 ns a sum up to d = 9 and 15 to 150 at
    d = 16, growing towards 2^n; cells take 2^(n/2 + 1) (8 d + 4) bytes and some 20 times as long at d = 9.
    `docs/measurements.md` has seconds.

    Fails where no way fits `memory_bytes` (`InvalidInputError` before anything is allocated), and slowly where d
    is large against n: then hardly any pair of cells can be dropped; use `branch_and_bound`. From n = 50 on, d above 4,
    `branch_and_meet` is faster.

    Parameters
    ----------
    memory_bytes : int
        What may be allocated.
    threads : int, optional
        For streams and tiles; all cores of the process unless given.

    References
    ----------
    .. [HorowitzSahni1974] E. Horowitz, S. Sahni, "Computing partitions with applications to the knapsack problem",
       Journal of the ACM 21, 1974. doi:10.1145/321812.321823
    .. [SchroeppelShamir1981] R. Schroeppel, A. Shamir, "A T = O(2^(n/2)), S = O(2^(n/4)) algorithm for certain
       NP-complete problems", SIAM Journal on Computing 10, 1981. doi:10.1137/0210033
    .. [GrayMoore2000] A. Gray, A. Moore, "N-body problems in statistical learning", NIPS 13, 2000.

    Examples
    --------
    >>> MeetInTheMiddle()(Instance([[1.0], [2.0], [4.0]], [5.5]), Limits()).subset
    array([0, 2])
    """

    memory_bytes: int = 1 << 30
    threads: int | None = None

    @property
    def name(self) -> str:
        """The registry name."""
        return "meet_in_the_middle"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the optimum is proven, or a limit or the tolerance is reached.

        Raises
        ------
        InvalidInputError
            If the halves do not fit into `memory_bytes`.
        """
        grid = to_fixed_point(instance)
        problem = HalvedProblem.of(instance, grid)
        join = choose_join(instance, problem, grid, limits, self.memory_bytes, self.threads, self.name)
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
                "join": join.name,
                "half_sizes": problem.half_sizes,
                "bytes_needed": join.bytes_needed(),
            },
        )
