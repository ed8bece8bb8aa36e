"""The main job: a trained network in, the filters of a random network that compute it out."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from sslth.cnn.arguments import (
    check_memory,
    checked_example,
    checked_gains,
    checked_names,
    parse_bytes,
    refuse_weights_read_directly,
    resolve_device,
    run_once,
)
from sslth.cnn.block_store import BlockStore
from sslth.cnn.box import as_box
from sslth.cnn.calibration import checked_calibration
from sslth.cnn.channel_means import channel_means
from sslth.cnn.fit import Finder, fit_to_data, fit_to_means, fit_to_weights
from sslth.cnn.layers import Weighted, find_layers, fingerprint, wiring_of
from sslth.cnn.plain import find_folds, plain_network
from sslth.cnn.plan import Searcher, bytes_of_block, plan_layer, threads_that_fit
from sslth.cnn.progress import Progress, report_progress
from sslth.cnn.search import TiledSearch
from sslth.cnn.sequential import describe_sequential
from sslth.cnn.signs import nonnegative_inputs
from sslth.cnn.source import as_source
from sslth.cnn.ticket import Ticket
from sslth.cnn.trace import trace
from sslth.errors import InvalidInputError
from sslth.subset_sum.arguments import seed_number, whole_number
from sslth.subset_sum.solvers import Solver, make_solver
from sslth.subset_sum.solvers.best_first_pursuit import BestFirstPursuit

__all__ = ["extract"]

Filters = npt.NDArray[np.uint32]
FloatArray = npt.NDArray[np.float64]

_WIDEST = 1 << 31


def extract(
    model: nn.Module,
    example_input: Tensor,
    width: int = 4096,
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
    max_kept: int | None = None,
    source: Any = None,
    memory: str | int = "1GiB",
    jobs: int | None = None,
    carry_over: Collection[str] = (),
    _blocks: str | os.PathLike[str] | None = None,
) -> Ticket:
    """Keep those filters of a random CNN that make it compute a trained one.

    Parameters
    ----------
    model : torch.nn.Module
        Its weights must sit in convolutions (of 1 to 3 axes, transposed ones too), Linear and batch norm; anything
        weightless may stand between them. Not changed. A batch norm that the graph shows to follow a layer is folded
        into it; another one is a target of its own, one scale and offset a channel.
    example_input : Tensor[batch, ...]
        A batch of inputs the model accepts.
    width : int
        n: every input channel has 2n random 1x1 filters.
    seed : int
        Of the random network, 0 to 2**64 - 1.
    solver : str or Solver
        "auto" is for the smallest error: signs of half rows, drawn in tiles, and message passing on the smallest rows
        (a beam up to d = 26, exact up to d = 4); best-first pursuit where `max_kept` asks for few filters.
        Any other name of `sslth.solvers()`; limited by work, never by time.
    low, high : float or array
        The box the inputs live in. It is stored, and decides which layers see non-negative inputs only.
    device : str
        Where the model is run and traced: "auto", "cpu", "cuda", ... The search runs on the CPU.
    progress : bool or callable(done, total, stage)
        A callable may raise to stop.
    gain : float or {layer: float}, optional
        Overrides the gain of all or some layers.
    calibration : Tensor or iterable of batches, optional
        Inputs, all of which count; a loader's batches may be tuples that begin with the inputs. Each layer is then
        refitted on the ticket's own activations, in forward order: what it is aimed at is no longer the target's
        weights but what does most nearly the same on these inputs. Order and batches do not matter.
    compensate : bool
        Without calibration: aim biases, and the kernel of a constant channel where padding shows, at cancelling the
        mean error of the other filters. Means come from batch norm's running statistics, or from the box. A layer
        without a bias gets filters for one, as a part of the random network. False: every block is aimed at the
        target's weights.
    max_kept : int, optional
        The most filters to keep in a block (one input channel and sign).
    source : str, mapping or torch.nn.Module, optional
        Where the random weights come from. None or "normal": the seed. "uniform": the seed, uniform numbers of variance
        1. "kaiming": the seed, with the scales of Kaiming's initialisation, which fix every gain. Otherwise the random
        network is yours: {layer: (V, U)} of tensors or modules, or a whole network whose weighted layers pair up; then
        its filters say how wide it is, not `width`, and the ticket names it by SHA-256. Filters that read the constant
        are drawn from the seed unless a pair is (V, U, v, u); a power of two brings them to the size of the others.
    memory : str or int
        Budget for the rows of the blocks that are searched at the same time.
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
        For impossible arguments, NaN or infinite weights or inputs, or a model that fails at the example.
    UnsupportedModuleError
        For a module with weights that is none of these and not carried over.

    Notes
    -----
    Cost O(filters * d): drawing a layer's weights and one pass of pursuit over them. Deterministic: the same
    arguments give byte-identical tickets.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInputError(f"model is a {type(model).__name__}; it must be a torch.nn.Module")
    carried = checked_names(carry_over)
    inputs = checked_example(example_input)
    width = whole_number(width, "width", 1, _WIDEST)
    seed = seed_number(seed)
    if max_kept is not None:
        max_kept = whole_number(max_kept, "max_kept", 1, 2 * _WIDEST)
    threads = whole_number(jobs, "jobs", 1, 4096) if jobs is not None else os.cpu_count()
    box = as_box(low, high, tuple(inputs.shape[1:]))
    if calibration is not None and not compensate:
        raise InvalidInputError("compensate=False aims at the target's weights; leave it out, or leave out calibration")
    chunks = None if calibration is None else checked_calibration(calibration, tuple(inputs.shape[1:]), box)
    chosen = _chosen_solver(solver, max_kept)
    where = resolve_device(device)
    find_layers(model, carried, allow_norms=True)  # what cannot be replaced is said before anything is run

    twin = copy.deepcopy(model).eval().to(where)
    sample = inputs[:1].to(where, next(twin.parameters()).dtype, copy=True)  # a forward may overwrite its input
    run_once(twin, sample)
    folds = find_folds(trace(twin, sample), sample, carried)
    plain = plain_network(twin, folds, carried)
    modules = find_layers(plain, carried)
    wirings = {name: wiring_of(module) for name, module in modules.items()}
    origin = as_source(source, wirings)
    gains = origin.fixed_gains(checked_gains(gain, modules), wirings, width)
    width = max(origin.width(name, width) for name in modules)
    available = parse_bytes(memory)
    check_memory(modules, width, available, bytes_of_block(chosen))
    traced = trace(plain, sample.cpu().double())
    if not isinstance(plain, Weighted):
        refuse_weights_read_directly(traced, modules)
    if traced.graph_module is None:
        signs = dict.fromkeys(modules, False)
    else:
        signs = nonnegative_inputs(traced, list(modules), bool((box[0] >= 0).all()))

    with report_progress(progress) as report:
        plans = []
        for index, (name, module) in enumerate(modules.items()):
            report(index, len(modules), "choosing gains")
            plans.append(
                plan_layer(
                    name, index, module, width, seed, signs[name], gains.get(name), max_kept, chosen, source=origin
                )
            )
        threads = threads_that_fit([task for plan in plans for task in plan.tasks(seed)], chosen, available, threads)
        with nullcontext() if _blocks is None else BlockStore(_blocks) as store:  # finished blocks, to go on with
            find = Finder(chosen, max_kept, threads, store, report)
            if chunks is not None:
                layers, note = fit_to_data(plans, seed, find, traced, chunks, available)
            elif not compensate or traced.graph_module is None:
                because = "compensate=False" if not compensate else str(traced.reason)
                layers, note = fit_to_weights(plans, seed, find, because)
            else:
                means = channel_means(twin.cpu(), traced, folds, wirings, box, tuple(inputs.shape[1:]))
                layers, note = fit_to_means(plans, seed, find, means, plain, inputs)
    settings: dict[str, Any] = {"solver": chosen.name, "max_kept": max_kept, "compensation": note}
    if traced.reason is not None:
        settings["both_signs_because"] = traced.reason
    twin.cpu()
    return Ticket(
        seed=seed,
        width=width,
        layers=tuple(fitted.kept() for fitted in layers),
        low=box[0],
        high=box[1],
        input_shape=tuple(inputs.shape[1:]),
        fingerprint=fingerprint(plain, carried),
        settings=settings,
        folds=folds,
        carry_over=carried,
        source=origin.described,
        description=None if carried else describe_sequential(plain),
        model=twin,
    )


def _chosen_solver(solver: str | Solver, max_kept: int | None) -> Searcher:
    if solver == "auto":
        return TiledSearch() if max_kept is None else BestFirstPursuit()
    return make_solver(solver)
