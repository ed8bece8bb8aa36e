"""The kinds of plots that `sslth plot` can draw from a store, by name."""

from __future__ import annotations

from importlib import import_module

from sslth.errors import InvalidInputError
from sslth.experiments.plot_kinds.plot_kind import PlotKind, Table

__all__ = ["PLOT_KINDS", "PlotKind", "Table", "plot_kind_named"]

# name -> "module:object"; imported when used, because all of them need matplotlib
PLOT_KINDS: dict[str, str] = {
    "cardinality": "sslth.experiments.plot_kinds.cardinality:PLOT",
    "error-vs-width": "sslth.experiments.plot_kinds.error_vs_width:PLOT",
    "exponents": "sslth.experiments.plot_kinds.exponents:PLOT",
    "frontier": "sslth.experiments.plot_kinds.frontier:PLOT",
    "layer-width": "sslth.experiments.plot_kinds.layer_width:PLOT",
    "phase": "sslth.experiments.plot_kinds.phase:PLOT",
    "phase-cardinality": "sslth.experiments.plot_kinds.phase_cardinality:PLOT",
    "solvers": "sslth.experiments.plot_kinds.solvers:PLOT",
    "width-exponents": "sslth.experiments.plot_kinds.width_exponents:PLOT",
}


def plot_kind_named(name: str) -> PlotKind:
    """Return a kind of plot by its name.

    Raises
    ------
    InvalidInputError
        If there is none of that name.
    """
    if name not in PLOT_KINDS:
        raise InvalidInputError(f"there is no kind of plot {name!r}; take one of {', '.join(sorted(PLOT_KINDS))}")
    module, _, attribute = PLOT_KINDS[name].partition(":")
    plot: PlotKind = getattr(import_module(module), attribute)
    return plot
