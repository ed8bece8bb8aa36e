"""The main job: a trained network in, the filters of a random network that compute it out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from torch import Tensor, nn

from sslth.cnn.arguments import check_memory
from sslth.cnn.block_store import BlockStore
from sslth.cnn.fit import Finder
from sslth.cnn.plan import Searcher, bytes_of_block
from sslth.cnn.prepared import prepare
from sslth.cnn.progress import Progress, report_progress
from sslth.cnn.search import TiledSearch
from sslth.cnn.ticket import Ticket
from sslth.cnn.widths.stored_plan import plan_once
from sslth.cnn.widths.width_plan import WidthPlan, show_plan
from sslth.cnn.widths.wish import WIDEST, checked_width, checked_wish
from sslth.subset_sum.arguments import seed_number, whole_number
from sslth.subset_sum.solvers import Solver, make_solver
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit

__all__ = ["extract"]

_FEW_BEAM = 128  # subsets side by side where few filters shall do: a sixth fewer at an error of .001 than with 16


def extract(
    model: nn.Module,
    example_input: Tensor | Sequence[Tensor],
    width: int | Mapping[str, int] | None = None,
    seed: int = 0,
    *,
    solver: str | Solver = "auto",
    low: Any = -1.0,
    high: Any = 1.0,
    device: str = "auto",
    progress: bool | Progress = True,
    gain: float | Mapping[str, float] | None = None,
    calibration: Any = None,
    compensate: bool = True,
    target_error: float | None = None,
    time_limit: float | None = None,
    max_kept: int | None = None,
    max_bytes: int | str | None = None,
    source: Any = None,
    memory: str | int = "1GiB",
    jobs: int | None = None,
    carry_over: Collection[str] = (),
    _blocks: str | os.PathLike[str] | None = None,
    _show_plan: Callable[[WidthPlan], object] | None = None,
) -> Ticket:
    """Keep those filters of a random CNN that make it compute a trained one.

    Parameters
    ----------
    model : torch.nn.Module
        Its weights must sit in convolutions (of 1 to 3 axes, transposed ones too), Linear and batch norm; anything
        weightless may stand between them. Not changed. A batch norm that the graph shows to follow a layer is folded
        into it; another one is a target of its own, one scale and offset a channel. So is a parameter of the forward
        that multiplies channels by numbers of their own; anything else that a bare parameter does is refused.
    example_input : Tensor[batch, ...], or a tuple of them
        A batch of inputs the model accepts; a tuple where its forward takes several. Then `low` and `high` may be
        tuples as well, and so may `calibration` and its batches.
    width : int or {layer: int}, optional
        n: every input channel has 2n random 1x1 filters; 4096 if neither a width nor a plan is asked for. A mapping
        names every layer. Together with a plan (below) it is the widest that the plan may make a layer.
    seed : int
        Of the random network, 0 to 2**64 - 1.
    solver : str or Solver
        "auto" is for the smallest error: signs of half rows, drawn in tiles, and message passing on the smallest rows
        (a beam up to d = 26, exact up to d = 4); best-first pursuit where `max_kept` asks for few filters.
        Any other name of `sslth.solvers()`; limited by work, never by time.
    low, high : float or array
        The box the inputs live in. It is stored, and decides which layers see non-negative inputs only.
    device : str
        Where the model is run and traced: "auto", "cpu", "cuda", ... A device other than the CPU that is named, not
        "auto", also draws and decides the filters of solver "auto", many blocks side by side; it finds the same ones.
        "cuda" searches on all GPUs that torch sees, "cuda:1" on that one.
    progress : bool or callable(done, total, stage)
        A callable may raise to stop. A plan is shown before the extraction: as a table on a terminal, or as a stage
        "plan: ...".
    gain : float or {layer: float}, optional
        Overrides the gain of all or some layers.
    calibration : Tensor or iterable of batches, optional
        Inputs, all of which count; a loader's batches may be tuples that begin with the inputs. Each layer is then
        refitted on the ticket's own activations, in forward order: what it is aimed at is no longer the target's
        weights but what does most nearly the same on these inputs. Order and batches do not matter.
    compensate : bool
        Without calibration: aim biases, and the kernel of a constant channel where padding shows, at cancelling the
        mean error of the other filters. Means come from batch norm's running statistics, or from the box. A layer
        without a bias gets filters for one, as a part of the random network, unless it only scales channels. False:
        every block is aimed at the target's weights.
    target_error, time_limit, max_bytes : optional
        Each asks for a plan, which gives every layer a width of its own. target_error: a wish for
        ‖ticket - target‖₂ / ‖target - its mean over the inputs‖₂, over all outputs, in float64, on the first 256 inputs
        of `example_input` (or, where that is a single one, on 64 uniform inputs of the box); the least work that is
        predicted to reach it is planned. time_limit: seconds within which this call is predicted to return.
        max_bytes: the predicted size of the ticket file, a number or "20kB". Limits without a target_error are used
        for the smallest predicted error. `settings["plan"]` of the ticket says what was asked, predicted and reached;
        predictions are not promises. A plan depends on the clock only where time_limit is given; then
        `width=ticket.widths` finds the same filters again.
    max_kept : int, optional
        The most filters to keep in a block (one input channel and sign). The block of a bias may keep up to four times
        as many where the bias is long. Alone, without a width, it asks for a plan too: for the smallest predicted error
        up to width 4096.
    source : str, mapping or torch.nn.Module, optional
        Where the random weights come from. None or "normal": the seed. "uniform": the seed, uniform numbers of variance
        1. "kaiming": the seed, with the scales of Kaiming's initialisation, which fix every gain. Otherwise the random
        network is yours: {layer: (V, U)} of tensors or modules, or a whole network whose weighted layers pair up; then
        its filters say how wide it is, not `width`, and the ticket names it by SHA-256. Filters that read the constant
        are drawn from the seed unless a pair is (V, U, v, u); a power of two brings them to the size of the others.
    memory : str or int
        Budget for the blocks that are searched at the same time. Above width 131,072 a block takes as much as two tiles
        and the smallest of its filters need, 65,536 or 3 √(n d). What is kept goes to a temporary file in `TMPDIR`,
        about a byte a filter.
    jobs : int, optional
        Threads; None for one a core. The ticket does not depend on it.
    carry_over : collection of str
        Names of modules that are taken along unchanged, weights and all: what is neither a convolution nor linear nor a
        batch norm. The ticket says so.

    Returns
    -------
    Ticket

    Raises
    ------
    InvalidInputError
        For impossible arguments, NaN or infinite weights or inputs, a model that fails at the example, or a plan that
        cannot be fulfilled; the latter is known after the pilot, before the extraction.
    UnsupportedModuleError
        For a module with weights that is none of these and not carried over.

    Notes
    -----
    Cost O(filters * d): drawing a layer's weights and one pass of pursuit over them. Deterministic: the same
    arguments give byte-identical tickets, unless time_limit is one of them.
    """
    started = time.perf_counter()
    seed = seed_number(seed)
    if max_kept is not None:
        max_kept = whole_number(max_kept, "max_kept", 1, 2 * WIDEST)
    wish = checked_wish(width, target_error, time_limit, max_bytes, max_kept)
    checked = checked_width(None if wish.asked else width)
    threads = whole_number(jobs, "jobs", 1, 4096) if jobs is not None else os.cpu_count()
    chosen = _chosen_solver(solver, max_kept, device)
    ready = prepare(
        model, example_input, seed=seed, solver=chosen, low=low, high=high, device=device, gain=gain,
        calibration=calibration, compensate=compensate, max_kept=max_kept, source=source, memory=memory,
        carry_over=carry_over,
    )  # fmt: skip
    with (
        report_progress(progress) as report,
        nullcontext() if _blocks is None else BlockStore(_blocks) as store,  # finished blocks, to go on with
    ):
        plan = None
        if wish.asked:
            plan = plan_once(ready, wish, threads or 1, report, started, store)
            show_plan(plan, progress) if _show_plan is None else _show_plan(plan)
        widths = ready.widths(checked) if plan is None else plan.widths
        check_memory(ready.wirings, widths, ready.memory, bytes_of_block(chosen))
        plans = ready.plans(widths, report)
        find = Finder(chosen, max_kept, threads, ready.memory, store, report)
        layers, note = ready.fit(plans, find)
    settings = {"compensation": note}
    return ready.ticket(layers, settings if plan is None else settings | {"plan": plan.stored(layers)})


def _chosen_solver(solver: str | Solver, max_kept: int | None, device: str) -> Searcher:
    if solver == "auto":
        if max_kept is not None:
            return BestFirstPursuit(beam=_FEW_BEAM)
        return TiledSearch(device=None if device in ("auto", "cpu") else device)
    return make_solver(solver)
