"""The generalised birthday tree: lists of partial sums merged pair by pair, each level nearer to zero."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslth.subset_sum.instance import FloatArray, Instance
from sslth.subset_sum.kernels.exact_sum import sum_rows_minus_target
from sslth.subset_sum.kernels.pursuit import squared_norms, threshold_pass
from sslth.subset_sum.limits import Limits
from sslth.subset_sum.solution import BoolArray, Outcome, StoppedBy
from sslth.subset_sum.solvers.k_tree_lists import Group, Reached, SumList, Tree, to_grid
from sslth.subset_sum.solvers.k_tree_plan import Plan, cut_candidates, plans
from sslth.subset_sum.solvers.scaling import scaled_to_one
from sslth.subset_sum.verify import verify

__all__ = ["KTree"]

IntArray = npt.NDArray[np.int64]

_CODES_A_CHUNK = 60_000_000  # 5 to 20 ms between two looks at the limits
_ENTRIES_A_CHUNK = 10_000_000
_FIRST_COST = 1e8
_GROWTH = 4.0
_SECONDS_A_CODE = 1.2e-10  # until a round has been measured


@dataclass(frozen=True)
class KTree:
    """Lists of sums of disjoint groups of rows, merged level by level into sums that nearly cancel.

    Idea [Wagner2002]_: the rows are shared among 2^L groups. Each group lists the sums of its subsets, measured from
    their mean, the first group minus the target as well. Two lists of N sums hold about N^2 pairs; the N nearest to
    zero are kept, in a box that is smaller by N^(-1/d), and so on up to the root, where the best single pair is sought.
    The large rows are decided beforehand by a pursuit. Without a wanted number of rows a group lists signed sums of
    half rows, of which one in two is kept: -a comes with a. With one, a group lists the sums of equally many of its
    rows. Lists, levels and rows grow from round to round and follow a prediction of the error at each cost.

    Cost: a round takes O(2^L N) sums and, for each, a number of comparisons that grows with d (a handful up
    to d = 4, about 2,000 at d = 9); memory O(2^L N + L N d). The error of a round is near
    scale * N^(-(L + 1) / d). Sums are integers, so they do not drift; errors of 1e-20 are in reach at d = 1.

    It fails where n is below 2 log2(N) (an exact solver is better then) and where d is above 12 or so: lists that fit
    no longer shrink their box. One unit of work is a sum listed, or a pair whose packed coordinates were compared.

    Parameters
    ----------
    memory : int
        Bytes that the lists may take.
    largest_round : float
        What a round may take, in comparisons of packed coordinates (0.1 to 0.2 ns each).
    repeats : int
        Rounds of the largest size, with other groups, before the search says that it is done.

    References
    ----------
    .. [Wagner2002] D. Wagner, "A generalized birthday problem", CRYPTO 2002. doi:10.1007/3-540-45708-9_19

    Examples
    --------
    >>> KTree()(Instance([[1.0], [2.0], [4.0]], [5.0]), Limits()).subset
    array([0, 2])
    """

    memory: int = 1 << 30
    largest_round: float = 3e11
    repeats: int = 8
    name: str = "k_tree"

    def __call__(self, instance: Instance, limits: Limits) -> Outcome:
        """Search until the largest rounds are done, or a limit or the tolerance is reached."""
        search = _Search(instance, limits)
        stopped = search.stopped()
        if stopped is None:
            try:
                wanted = search.wanted_size()
                search.prepare(wanted, self.memory)
                stopped = search.run(self.largest_round, self.repeats)
            except Reached as reached:
                stopped = reached.reason
        details = {"rounds": search.rounds, "found_in_round": search.found_in, "plan": search.best_plan}
        return Outcome(search.subset, stopped, work=search.work, details=details)


@dataclass(frozen=True)
class _Cut:
    """The pursuit over all but the smallest `rows` rows: what those must still sum to, how many are wanted of them."""

    residual: FloatArray  # undecided rows counted by their share
    wanted: int


class _Search:
    """The best subset so far, and what all rounds share."""

    def __init__(self, instance: Instance, limits: Limits) -> None:
        self.instance, self.limits = instance, limits
        self.rng = np.random.Generator(np.random.Philox(limits.seed))
        self.subset: IntArray | None = None
        self.error = math.inf
        self.work = self.rounds = self.found_in = 0
        self.plan: dict[str, int] = {}
        self.best_plan = self.plan
        self.offer(np.arange(instance.smallest_size, dtype=np.int64))

    def offer(self, subset: IntArray) -> None:
        """Keep a subset if it has an allowed size and the smallest error so far."""
        if self.instance.smallest_size <= subset.size <= self.instance.largest_size:
            error = verify(self.instance, subset).error
            if error < self.error:
                self.subset, self.error, self.found_in, self.best_plan = subset, error, self.rounds, self.plan

    def stopped(self) -> StoppedBy | None:
        """Why the search is over, if it is."""
        if self.error == 0.0 or self.limits.is_met_by(self.error):
            return StoppedBy.DONE if self.limits.tolerance is None else StoppedBy.TOLERANCE
        return self.limits.exceeded(self.work)

    def spend(self, done: int) -> int:
        """Count work; how much may follow before the next look at the limits."""
        self.work += done
        reached = self.limits.exceeded(self.work)
        if reached is not None:
            raise Reached(reached)
        left = self.limits.work_left(self.work)
        return _CODES_A_CHUNK if left is None else min(_CODES_A_CHUNK, left)

    def wanted_size(self) -> int | None:
        """How many rows every round chooses; None for any number."""
        if self.instance.cardinality is not None:
            return self.instance.cardinality
        if self.instance.largest_size < self.instance.n:
            return min(self.instance.largest_size, (self.instance.n + 1) // 2)
        return None

    def prepare(self, wanted: int | None, memory: int) -> None:
        """Decide the rows by falling norm, noting at every size of the tail what is left for it; then plan rounds."""
        n, d = self.instance.n, self.instance.d
        self.wanted = wanted
        self.rows, self.target, self.shift = scaled_to_one(self.instance)
        norms = np.empty(n)
        squared_norms(self.rows, norms)
        self.order = np.argsort(-norms, kind="stable").astype(np.int64)
        self.keep: BoolArray = np.zeros(n, dtype=np.bool_)
        share = 0.5 if wanted is None else wanted / n
        weight = 0.0 if wanted is None else float(norms.mean()) / d
        residual = self.target - share * self.rows.sum(axis=0)
        candidates = cut_candidates(n, wanted is not None)
        self.cuts: dict[int, _Cut] = {}
        count, chunk, decided = 0.0, max(1, _ENTRIES_A_CHUNK // d), 0
        for tail in sorted({rows for _, rows in candidates} | {0}, reverse=True):
            while decided < n - tail:
                part = self.order[decided : min(n - tail, decided + chunk)]
                count = threshold_pass(self.rows, norms, part, residual, self.keep, share, count, weight)
                decided += part.size
                self.spend(part.size)
            left = 0 if wanted is None else wanted - int(self.keep[self.order[:decided]].sum())
            self.cuts[tail] = _Cut(residual.copy(), left)
        self.offer(self._of_allowed_size())
        squares = np.cumsum(norms[self.order[::-1]])
        usable = [(level, tail) for level, tail in candidates if wanted is None or 0 <= self.cuts[tail].wanted <= tail]
        tails = {tail for _, tail in usable}
        self.front = plans(
            d,
            usable,
            {tail: math.sqrt(float(squares[tail - 1]) / (tail * d)) for tail in tails},
            {tail: self.cuts[tail].residual for tail in tails},
            None if wanted is None else {tail: self.cuts[tail].wanted for tail in tails},
            memory,
        )

    def _of_allowed_size(self) -> IntArray:
        """The pursuit's subset, its last rows flipped until the size is allowed."""
        chosen = self.keep[self.order]
        size = int(chosen.sum())
        chosen[np.flatnonzero(chosen)[self.instance.largest_size :]] = False
        missing = max(0, self.instance.smallest_size - size)
        free = np.flatnonzero(~chosen)
        chosen[free[free.size - missing :]] = True
        return np.sort(self.order[chosen])

    def run(self, largest_round: float, repeats: int) -> StoppedBy:
        """Rounds of growing size, then as many of the largest; the reason why they end."""
        self.front = [plan for plan in self.front if plan.cost <= largest_round] or self.front[:1]
        seconds_a_code = _SECONDS_A_CODE
        budget, again, hurried = _FIRST_COST, 0, False
        while self.front:
            stopped = self.stopped()
            if stopped is not None:
                return stopped
            plan, in_time = self._next_plan(budget, seconds_a_code)
            hurried = hurried or in_time
            if plan is None:
                return StoppedBy.WORK
            begin, before = self.limits.seconds, self.work
            self.rounds += 1
            self.offer(self.round(plan))
            spent = self.limits.seconds - begin
            if self.work > before and plan.cost > 1e7:
                seconds_a_code = spent / plan.cost
            budget *= _GROWTH
            if plan is self.front[-1] and not hurried:
                again += 1
                if again >= repeats:
                    break
        return self.stopped() or StoppedBy.DONE

    def _next_plan(self, budget: float, seconds_a_code: float) -> tuple[Plan | None, bool]:
        """The plan for the budget, or the largest for what is left if no larger one would fit after it."""
        left, seconds = self.limits.work_left(self.work), self.limits.seconds_left()
        plan = self._best_plan(budget, math.inf)
        if left is not None:
            larger = self._best_plan(_GROWTH * budget, math.inf)
            if plan is None or larger is None or plan.work + larger.work > 0.7 * left:
                first = self._best_plan(math.inf, 0.1 * left) if self.rounds == 0 else None  # better than nothing
                return first or self._best_plan(math.inf, 0.8 * left), False
        elif seconds is not None and self.rounds > 0:
            within = 0.75 * seconds / seconds_a_code
            if within < (1.0 + _GROWTH) * min(budget, self.front[-1].cost):
                return self._best_plan(within, math.inf) or self.front[0], True
        return plan or self.front[0], False

    def _best_plan(self, cost: float, work: float) -> Plan | None:
        fitting = [plan for plan in self.front if plan.cost <= cost and plan.work <= work]
        return fitting[-1] if fitting else None

    def round(self, plan: Plan) -> IntArray:
        """One tree; the subset at its root."""
        n, groups = self.instance.n, 1 << plan.levels
        main = self.order[: n - plan.rows]
        kept = main[self.keep[main]]
        members = self._deal(self.order[n - plan.rows :], groups)
        sizes = self._sizes(members, self.cuts[plan.rows].wanted)
        scale = 0.5 if self.wanted is None else 1.0
        rows = [scale * self.rows[member] for member in members]
        bound = max(float(np.sqrt(np.square(part).sum(axis=0).max())) for part in rows)
        exponent = max(-1000, math.frexp(64.0 * bound * 2.0 ** -self._first_gain(plan))[1] - 61)
        steps = [to_grid(part, exponent) for part in rows]
        shares = [0.0 if size is None else size / len(member) for size, member in zip(sizes, members, strict=True)]
        means = [share * part.sum(axis=0) for share, part in zip(shares, rows, strict=True)]
        mean_steps = [to_grid(mean, exponent) for mean in means]
        high, low, lost = np.empty((3, self.instance.d))
        sum_rows_minus_target(self.rows, kept, self.target, high, low, lost)
        shift, shift_steps = -high, -to_grid(high, exponent) - to_grid(low, exponent)
        for part, part_steps, mean, mean_step in zip(rows, steps, means, mean_steps, strict=True):
            shift = shift - (part.sum(axis=0) if self.wanted is None else mean)
            shift_steps = shift_steps - (part_steps.sum(axis=0) if self.wanted is None else mean_step)
        tree = Tree(1 << plan.log_size, self.wanted is None, exponent, self.spend)
        stack: list[SumList] = []
        for g, member in enumerate(members):
            group = Group(member, 1 if self.wanted is None and g > 0 else 0, sizes[g])
            first = (shift, shift_steps) if g == 0 else (np.zeros_like(shift), np.zeros_like(shift_steps))
            node = tree.leaf(group, rows[g], steps[g], first[0] + means[g], first[1] + mean_steps[g])
            while stack and stack[-1].level == node.level:
                if len(stack) == 1 and g == groups - 1:
                    break
                node = tree.merge(stack.pop(), node, has_target=len(stack) == 0)
            stack.append(node)
        self.plan = {"list_size": 1 << plan.log_size, "levels": plan.levels, "rows": plan.rows}
        if len(stack) == 1:
            best = int(np.abs(stack[0].keys).max(axis=1).argmin())
            chosen = stack[0].node.chosen(best, False)
        else:
            enough = float(np.ldexp(self.error, self.shift))
            found = tree.best_pair(stack[0], stack[1], enough)
            if found is None:
                return np.empty(0, dtype=np.int64)
            chosen = found
        return np.sort(np.concatenate([kept, chosen]))

    def _first_gain(self, plan: Plan) -> float:
        """Bits by which the first merge shrinks the box."""
        if plan.levels < 2:
            return 0.0
        leaf = plan.rows / 2**plan.levels - 1.0
        return max(0.0, (2.0 * leaf + 1.0 - plan.log_size) / self.instance.d) if self.wanted is None else 0.0

    def _deal(self, tail: IntArray, groups: int) -> list[IntArray]:
        """Share rows sorted by norm among groups so that all have rows of every size."""
        columns = [self.rng.permutation(tail[start : start + groups]) for start in range(0, tail.size, groups)]
        whole = np.concatenate(columns)
        return [np.ascontiguousarray(whole[g::groups]) for g in range(groups)]

    def _sizes(self, members: list[IntArray], wanted: int) -> list[int | None]:
        """How many rows each group chooses."""
        if self.wanted is None:
            return [None] * len(members)
        exact = np.array([member.size for member in members]) * (wanted / sum(member.size for member in members))
        sizes = np.floor(exact).astype(np.int64)
        order = self.rng.permutation(sizes.size)
        fitting = [g for g in order if sizes[g] < members[g].size]
        for g in fitting[: wanted - int(sizes.sum())]:
            sizes[g] += 1
        return [int(size) for size in sizes]
