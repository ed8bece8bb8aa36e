"""Error against width: tickets of one target network over a grid of widths and seeds."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

import sslth
from sslth.errors import InvalidInputError
from sslth.experiments.grid import Progress, run_grid
from sslth.experiments.power_law import PowerLaw, fit_power_law
from sslth.experiments.store import Row, Store

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["KIND", "WIDTHS", "PowerLaw", "WidthPoint", "error_vs_width", "fit_power_law", "points_of"]

KIND = "error_vs_width"
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class WidthPoint:
    """One ticket of the grid.

    Attributes
    ----------
    width, seed : int
    relative_output_error : float or None
        ‖ticket - target‖₂ / ‖target‖₂ over all outputs at the inputs, in float64; None if it was not finite.
    kept_filters, total_filters : int
    seconds : float
        For extracting the ticket and comparing it.
    series : str
        Target, inputs and box in one hash: only points of one series belong on one curve.
    """

    width: int
    seed: int
    relative_output_error: float | None
    kept_filters: int
    total_filters: int
    seconds: float
    series: str = ""


class Extract(Protocol):
    """What `sslth.extract` is to a cell; tests pass their own."""

    def __call__(
        self, model: nn.Module, example_input: Tensor, *, width: int, seed: int, low: Any, high: Any, progress: bool
    ) -> Any: ...


def error_vs_width(
    model: nn.Module,
    example_input: Tensor,
    inputs: Tensor,
    *,
    widths: Sequence[int] = WIDTHS,
    seeds: Iterable[int] = range(5),
    low: Any,
    high: Any,
    store: Store,
    progress: Progress | None = None,
    retry_failed: bool = False,
    extract: Extract | None = None,
) -> list[WidthPoint]:
    """Return the tickets' output errors, by width and then seed; cells that the store has are not computed again.

    Parameters
    ----------
    model : torch.nn.Module
        The target network; not changed.
    example_input : Tensor[batch, ...]
    inputs : Tensor[m, ...]
        What the output error is measured on.
    widths, seeds : int
    low, high : float or array
        The box the inputs live in.
    store : Store
    progress : callable(done, total, stage), optional
    retry_failed : bool
    extract : callable, optional
        `sslth.extract` by default.

    Returns
    -------
    list of WidthPoint
        Without the cells that failed; the store has their errors.

    Raises
    ------
    InvalidInputError
        Without inputs, widths or seeds, if all outputs of the target are zero, or the store cannot be written.

    Notes
    -----
    Widths nest: the filters of one seed and width are among those of a larger width, so that curves of one seed
    are smoother than independent draws.
    """
    if len(inputs) == 0 or not widths:
        raise InvalidInputError("error against width needs at least one input and one width")
    seeds = tuple(seeds)
    if not seeds:
        raise InvalidInputError("error against width needs at least one seed")
    from sslth.experiments.comparison import outputs_of

    search = _own_extract() if extract is None else extract

    common = {
        "kind": KIND,
        "sslth": sslth.__version__,  # results of different searches belong on different curves
        "target": model_fingerprint(model),
        "inputs": array_fingerprint(inputs.detach().cpu().numpy()),
        "low": _side(low),
        "high": _side(high),
    }
    cells = [common | {"width": int(width), "seed": int(seed)} for width in widths for seed in seeds]
    exact_inputs = inputs.detach().cpu().double()
    wanted = outputs_of(copy.deepcopy(model).cpu().double().eval(), exact_inputs)
    size = float(wanted.norm())
    if not 0 < size < float("inf"):
        raise InvalidInputError(
            f"a relative error needs outputs of the target that are finite and not all 0, not {size}"
        )

    def evaluate(cell: Mapping[str, Any]) -> dict[str, Any]:
        ticket = search(
            model, example_input, width=cell["width"], seed=cell["seed"], low=low, high=high, progress=False
        )
        # A copy, because a module may share what it carries over with the model, and double() works in place.
        merged = copy.deepcopy(ticket.to_module(model, merged=True)).cpu().double().eval()
        difference = outputs_of(merged, exact_inputs) - wanted
        return {
            "relative_output_error": float(difference.norm()) / size,
            "kept_filters": int(ticket.kept_filters),
            "total_filters": int(ticket.total_filters),
        }

    run_grid(cells, evaluate, store, progress, retry_failed)
    return points_of([row for cell in cells if (row := store.row(cell)) is not None])


def points_of(rows: Iterable[Row]) -> list[WidthPoint]:
    """Return the points of stored rows, by series, width and seed; failed cells and other kinds are left out."""
    points = {
        row.key: WidthPoint(
            width=row.parameters["width"],
            seed=row.parameters["seed"],
            relative_output_error=row.result["relative_output_error"],
            kept_filters=row.result["kept_filters"],
            total_filters=row.result["total_filters"],
            seconds=row.seconds,
            series=_series(row.parameters),
        )
        for row in rows
        if row.result is not None and row.parameters.get("kind") == KIND
    }
    return sorted(points.values(), key=lambda point: (point.series, point.width, point.seed))


def model_fingerprint(model: nn.Module) -> str:
    """Return the SHA-256 of names, dtypes, shapes and bytes of the state dict, and of the modules with their settings.

    The settings (stride, kind of activation, …) change what equal weights compute. A `forward` of one's own is not
    seen.
    """
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        digest.update(f"{name}:{type(module).__qualname__}({module.extra_repr()});".encode())
    for name, value in model.state_dict().items():
        digest.update(f"{name}:{array_fingerprint(value.detach().cpu().numpy())};".encode())
    return digest.hexdigest()


def array_fingerprint(array: npt.NDArray[Any]) -> str:
    """Return the SHA-256 of dtype, shape and bytes (little-endian, row by row) of an array."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest = hashlib.sha256(f"{array.dtype.str}:{array.shape};".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def _own_extract() -> Extract:
    # Imported when used: reading stored points must not cost the import of torch.
    from sslth.cnn.extract import extract

    return extract


def _side(bound: Any) -> float | str:
    """One side of the box as a parameter: a number, or the fingerprint of an array."""
    array = np.asarray(bound, dtype=np.float64)
    return float(array) if array.ndim == 0 else f"sha256:{array_fingerprint(array)}"


def _series(parameters: Mapping[str, Any]) -> str:
    text = "|".join(str(parameters[key]) for key in ("sslth", "target", "inputs", "low", "high"))
    return hashlib.sha256(text.encode()).hexdigest()
