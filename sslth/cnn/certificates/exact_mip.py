"""The exact maximum of |ticket - target| for small networks: both in one mixed-integer program.

It checks the other two, the proved and the attained. A solver's feasibility tolerance makes its claims wrong by up to
some 1e-7, so nothing below 1e-6 is believed, and no claim is a proof.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx

from sslth.cnn.activations import curve_of
from sslth.cnn.certificates.ascent import evaluated
from sslth.cnn.certificates.bounds import Enclosure
from sslth.cnn.certificates.relaxation import propagate_relaxed
from sslth.cnn.certificates.windows import pooling_windows
from sslth.cnn.layers import Weighted
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.trace import Traced
from sslth.errors import InvalidInputError

__all__ = ["TOLERANCE", "ExactMaximum", "exact_maximum"]

FloatArray = npt.NDArray[np.float64]

# What the solver's claim is believed to.
TOLERANCE = 1e-6
_FEASIBILITY = 1e-9
_MOST_BINARIES = 2000
# Bounds of variables are widened by this share: a bound that is met exactly makes programs hard to presolve.
_ROOM = 1e-9
# Coefficients below it are the rounding of a difference.
_NOISE = 1e-14


@dataclass(frozen=True, eq=False)
class ExactMaximum:
    """What a mixed-integer solver claims of the largest difference, and what was recomputed.

    Attributes
    ----------
    claimed : float
        The maximum over outputs of what the solver says cannot be exceeded, right to `tolerance` at best.
    attained : float
        Recomputed in float64 at the witness.
    witness : float64[*input_shape]
    tolerance : float
    finished : bool
        Whether every program was solved to the end; else `claimed` is only a bound.
    binaries : int
        Choices that the program has.
    """

    claimed: float
    attained: float
    witness: FloatArray
    tolerance: float
    finished: bool
    binaries: int


def exact_maximum(
    traced: Traced,
    merged: Mapping[str, MergedLayer],
    low: Tensor,
    high: Tensor,
    *,
    backend: str = "highs",
    time_limit: float = 60.0,
) -> ExactMaximum:
    """Maximise |ticket - target| over a box by a mixed-integer program for each output and sign.

    Parameters
    ----------
    traced : Traced
        The target: weighted layers, rectifiers, max pooling and what is affine.
    merged : mapping from module names to MergedLayer
    low, high : float64[*input_shape]
    backend : str
        "highs" or "scip".
    time_limit : float
        Seconds for each program.

    Raises
    ------
    InvalidInputError
        If the network has another activation, no graph, or more than 2,000 choices.

    Notes
    -----
    Every rectifier whose sign is not known is one binary variable with big-M bounds from the linear relaxation; every
    undecided pooling window has one for each of its entries ([Tjeng2019]_). The time is exponential in their number.

    .. [Tjeng2019] V. Tjeng, K. Xiao, R. Tedrake, "Evaluating robustness of neural networks with mixed integer
       programming", ICLR 2019, arXiv:1711.07356.
    """
    if traced.graph_module is None:
        raise InvalidInputError(f"no exact maximum is known without a graph: {traced.reason}")
    if backend not in ("highs", "scip"):
        raise InvalidInputError(f"backend is {backend!r}; it must be 'highs' or 'scip'")
    bounds = propagate_relaxed(traced, merged, low[None], high[None]).engine.known
    program = _Program(low.flatten().tolist(), high.flatten().tolist())
    ticket = merged_module(traced.model, merged, torch.float64).eval()
    encoder = _Encoder(traced.graph_module, dict(merged), ticket, bounds, program)
    with torch.no_grad():
        pair = encoder.run(_Pair(program.inputs(low.shape), program.inputs(low.shape)))
    if not isinstance(pair, _Pair):
        raise InvalidInputError("an exact maximum is known for networks with one output only")
    apart = program.padded(pair.ticket) - program.padded(pair.target)
    apart = apart.reshape(len(apart), -1)
    claimed, finished = 0.0, True
    points = [0.5 * (low + high)]
    for output in range(apart.shape[1]):
        for sign in (1.0, -1.0):
            constant = float(sign * apart[0, output])
            slopes = sign * (apart[1:, output] - apart[0, output])
            bound, point, ended = program.maximise(slopes.tolist(), backend, time_limit)
            claimed, finished = max(claimed, bound + constant), finished and ended
            if point is not None:
                points.append(torch.clamp(torch.tensor(point, dtype=torch.float64).reshape(low.shape), low, high))
    values, _ = evaluated(traced.model, merged, torch.stack(points))
    best = int(values.argmax())
    return ExactMaximum(claimed, float(values[best]), points[best].numpy(), TOLERANCE, finished, program.binaries)


class _Program:
    """Variables and inequalities; affine expressions are tensors [1 + variables, ...]: at 0 and at unit points."""

    def __init__(self, low: list[float], high: list[float]) -> None:
        from ortools.math_opt.python import mathopt

        self._math = mathopt
        self.model = mathopt.Model()
        self.variables: list[Any] = [self.model.add_variable(lb=a, ub=b) for a, b in zip(low, high, strict=True)]
        self._inputs = len(low)
        self.binaries = 0

    def inputs(self, shape: torch.Size) -> Tensor:
        unit = torch.eye(self._inputs, dtype=torch.float64)
        return torch.cat([torch.zeros(1, self._inputs, dtype=torch.float64), unit]).reshape(-1, *shape)

    def padded(self, rows: Tensor) -> Tensor:
        """The same expressions, with the variables that came later, which they do not use."""
        missing = 1 + len(self.variables) - len(rows)
        return torch.cat([rows, rows[:1].expand(missing, *rows.shape[1:])]) if missing else rows

    def expression(self, column: Tensor) -> tuple[float, dict[int, float]]:
        """Constant and coefficients of one column."""
        slopes = (column[1:] - column[0]).tolist()
        noise = _NOISE * (1.0 + abs(float(column[0])))
        return float(column[0]), {index: value for index, value in enumerate(slopes) if abs(value) > noise}

    def variable(self, low: float, high: float) -> int:
        self.variables.append(self.model.add_variable(lb=low, ub=high))
        return len(self.variables) - 1

    def binary(self) -> int:
        self.binaries += 1
        if self.binaries > _MOST_BINARIES:
            raise InvalidInputError(f"the exact maximum would need more than {_MOST_BINARIES} choices; use certify")
        self.variables.append(self.model.add_binary_variable())
        return len(self.variables) - 1

    def at_most(self, terms: dict[int, float], limit: float) -> None:
        row = self.model.add_linear_constraint(ub=limit)
        for index, value in terms.items():
            row.set_coefficient(self.variables[index], value)

    def maximise(self, slopes: list[float], backend: str, time_limit: float) -> tuple[float, list[float] | None, bool]:
        """Bound, inputs of the best solution, and whether the solver finished."""
        objective = sum(
            (value * variable for value, variable in zip(slopes, self.variables, strict=True) if value != 0.0),
            self._math.LinearSum(()),
        )
        self.model.maximize(objective)
        parameters = self._math.SolveParameters(
            relative_gap_tolerance=0.0,
            absolute_gap_tolerance=1e-8,
            threads=None if backend == "highs" else 1,
            time_limit=datetime.timedelta(seconds=time_limit),
        )
        if backend == "highs":
            for name in ("mip_feasibility_tolerance", "primal_feasibility_tolerance", "dual_feasibility_tolerance"):
                parameters.highs.double_options[name] = _FEASIBILITY
            solver = self._math.SolverType.HIGHS
        else:
            parameters.gscip.real_params["numerics/feastol"] = _FEASIBILITY
            solver = self._math.SolverType.GSCIP
        result = self._math.solve(self.model, solver, params=parameters)
        ended = result.termination.reason == self._math.TerminationReason.OPTIMAL
        point = None
        if result.solutions and result.solutions[0].primal_solution is not None:
            values = result.solutions[0].primal_solution.variable_values
            point = [float(values[variable]) for variable in self.variables[: self._inputs]]
        return float(result.termination.objective_bounds.dual_bound), point, ended


@dataclass(frozen=True, eq=False)
class _Pair:
    target: Tensor
    ticket: Tensor


class _Encoder(fx.Interpreter):
    """Runs the target's graph on affine expressions of both networks."""

    def __init__(
        self,
        graph_module: fx.GraphModule,
        merged: dict[str, MergedLayer],
        ticket: torch.nn.Module,
        bounds: Mapping[fx.Node, Enclosure],
        program: _Program,
    ) -> None:
        super().__init__(graph_module)
        self._graph_module, self._merged, self._ticket = graph_module, merged, ticket
        self._bounds, self._program = bounds, program

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "output", "get_attr"):
            return super().run_node(n)
        module = self._graph_module.get_submodule(str(n.target)) if n.op == "call_module" else None
        sources = [self.env[source] for source in n.all_input_nodes]
        if not sources or not isinstance(sources[0], _Pair):
            return super().run_node(n)
        x, source = sources[0], n.all_input_nodes[0]
        curve = curve_of(n, module)
        if curve is not None:
            if [slope for _, slope in curve.corners] != [0.0, 1.0] or not curve.exact or curve.corners[0][0] != 0.0:
                raise InvalidInputError(f"an exact maximum is known for rectifiers only, not for `{n.target}`")
            known = self._bounds[source]
            return self._both(n, self._rectified(x.target, known.target), self._rectified(x.ticket, known.ticket))
        windows = pooling_windows(n, module, torch.Size([1, *x.target.shape[1:]]))
        if windows is not None:
            known, shape = self._bounds[source], self._bounds[n].shape[1:]
            parts = [self._largest(a, windows, b) for a, b in ((x.target, known.target), (x.ticket, known.ticket))]
            return self._both(n, *(part.reshape(-1, *shape) for part in parts))
        if isinstance(module, Weighted):
            ticket = self._ticket.get_submodule(str(n.target))
            if str(n.target) not in self._merged:
                return _Pair(module(x.target), module(x.ticket))
            if not bool((self._bounds[source].ticket.low < 0).any()):
                return _Pair(module(x.target), ticket.positive(x.ticket))  # type: ignore[operator]
            plus = self._rectified(x.ticket, self._bounds[source].ticket)
            value = ticket.positive(plus)  # type: ignore[operator]
            if ticket.negative is not None:
                plus = self._program.padded(plus)
                value = value + ticket.negative(plus - self._program.padded(x.ticket))  # type: ignore[operator]
            return _Pair(module(x.target), value)
        return self._affine(n)

    def _affine(self, n: fx.Node) -> _Pair:
        """Whatever is left must be affine: checked on three points of a line."""
        rows = [self.env[source] for source in n.all_input_nodes]
        results = []
        for side in ("target", "ticket"):
            tensors = [self._program.padded(getattr(pair, side)) for pair in rows]
            results.append(self._applied(n, tensors))
            generator = torch.Generator().manual_seed(0)
            a = [torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for tensor in tensors]
            b = [torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for tensor in tensors]
            middle = self._applied(n, [0.5 * (left + right) for left, right in zip(a, b, strict=True)])
            if not torch.allclose(middle, 0.5 * (self._applied(n, a) + self._applied(n, b))):
                raise InvalidInputError(f"an exact maximum is not known for the operation `{n.target}`")
        return _Pair(*results)

    def _applied(self, n: fx.Node, tensors: list[Tensor]) -> Tensor:
        values = dict(zip(n.all_input_nodes, tensors, strict=True))
        arguments = fx.node.map_arg(n.args, lambda node: values[node])
        keywords = fx.node.map_arg(n.kwargs, lambda node: values[node])
        result = getattr(self, n.op)(n.target, arguments, keywords)
        assert isinstance(result, Tensor)
        return result

    def _both(self, n: fx.Node, target: Tensor, ticket: Tensor) -> _Pair:
        """The pair, with what is known of its difference as inequalities: the two networks need not part further."""
        shift = self._bounds[n].shift
        first, second = (self._program.padded(side).flatten(1) for side in (target, ticket))
        low, high = shift.low.flatten().tolist(), shift.high.flatten().tolist()
        for index in range(first.shape[1]):
            constant, terms = self._program.expression(second[:, index] - first[:, index])
            if terms:
                room = _ROOM * (abs(low[index]) + abs(high[index]))
                self._program.at_most(terms, high[index] + room - constant)
                self._program.at_most({key: -value for key, value in terms.items()}, room - low[index] + constant)
        return _Pair(target, ticket)

    def _rectified(self, rows: Tensor, bounds: Any) -> Tensor:
        program, shape = self._program, rows.shape[1:]
        columns = program.padded(rows).reshape(1 + len(program.variables), -1)
        low, high = bounds.low.flatten().tolist(), bounds.high.flatten().tolist()
        signs = torch.tensor([float(b > 0 and not a < 0) for a, b in zip(low, high, strict=True)])
        fresh: dict[int, int] = {}
        for index, (a, b) in enumerate(zip(low, high, strict=True)):
            if not a < 0 < b:
                continue
            constant, terms = program.expression(columns[:, index])
            result, on = program.variable(0.0, b), program.binary()
            program.at_most({**terms, result: -1.0}, -constant)
            program.at_most({**{k: -v for k, v in terms.items()}, result: 1.0, on: -a}, constant - a)
            program.at_most({result: 1.0, on: -b}, 0.0)
            fresh[index] = result
        return self._with_fresh(columns * signs, fresh).reshape(-1, *shape)

    def _largest(self, rows: Tensor, windows: Tensor, bounds: Any) -> Tensor:
        program = self._program
        columns = program.padded(rows).reshape(1 + len(program.variables), -1)
        low, high = bounds.low.flatten(), bounds.high.flatten()
        picked = torch.zeros((len(columns), len(windows)), dtype=torch.float64)
        fresh: dict[int, int] = {}
        for number, window in enumerate(windows):
            entries = window[window >= 0]
            open_ones = [int(i) for i in entries if high[i] > low[entries].max() or i == entries[low[entries].argmax()]]
            if len(open_ones) == 1:
                picked[:, number] = columns[:, open_ones[0]]
                continue
            top = float(high[entries].max())
            result = program.variable(float(low[entries].max()), top)
            choices = [program.binary() for _ in open_ones]
            for entry, choice in zip(open_ones, choices, strict=True):
                constant, terms = program.expression(columns[:, entry])
                program.at_most({**terms, result: -1.0}, -constant)
                reach = top - float(low[entry])
                program.at_most({**{k: -v for k, v in terms.items()}, result: 1.0, choice: reach}, constant + reach)
            program.at_most(dict.fromkeys(choices, -1.0), -1.0)
            fresh[number] = result
        return self._with_fresh(picked, fresh)

    def _with_fresh(self, columns: Tensor, fresh: dict[int, int]) -> Tensor:
        columns = self._program.padded(columns).clone()
        for column, variable in fresh.items():
            columns[:, column] = 0.0
            columns[1 + variable, column] = 1.0
        return columns
