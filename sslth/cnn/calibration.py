"""Both networks side by side on the reader's data, operation by operation, each layer refitted when it is reached."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, fx, nn

from sslth.cnn.compensation import Find, FittedLayer, add_up, bias_tasks, channel_tasks
from sslth.cnn.constant_channel import constant_image
from sslth.cnn.gram import Gram, Moments, batched
from sslth.cnn.merged import MergedLayer, merged_module
from sslth.cnn.operation import apply_wiring, bias_column, pad_input, window_rank
from sslth.cnn.refit import LARGEST_HESSIAN, refit
from sslth.cnn.trace import Traced, canonical_names, tensors_of
from sslth.errors import InvalidInputError

__all__ = ["calibrate", "checked_calibration", "errors_with_and_without", "merged_of_fitted", "output_error"]

FloatArray = npt.NDArray[np.float64]
Pair = tuple[Any, Any]

_CHUNK = 32  # inputs that run at a time
_SLACK = 1e-6


def checked_calibration(
    calibration: Any, input_shape: tuple[int, ...], box: tuple[FloatArray, FloatArray]
) -> list[Tensor]:
    """Return the inputs in chunks; from a tensor, or an iterable of batches or of (batch, ...) as loaders give them.

    Raises
    ------
    InvalidInputError
        For no inputs, another shape, numbers that are not finite, or inputs outside of the box.
    """
    if isinstance(calibration, str | bytes) or not isinstance(calibration, Tensor | Iterable):
        raise InvalidInputError(
            f"calibration is a {type(calibration).__name__}; it must be a tensor of inputs or an iterable of batches"
        )
    batches = [calibration] if isinstance(calibration, Tensor) else calibration
    chunks: list[Tensor] = []
    low, high = (torch.as_tensor(end) for end in box)
    for item in batches:
        batch = item[0] if isinstance(item, list | tuple) and item else item
        if not isinstance(batch, Tensor):
            raise InvalidInputError(f"calibration yields a {type(batch).__name__}; its batches must be tensors")
        if tuple(batch.shape[1:]) != tuple(input_shape) or batch.dim() < 2:
            raise InvalidInputError(
                f"calibration has a batch of shape {tuple(batch.shape)}; inputs have shape {tuple(input_shape)}"
            )
        batch = batch.detach().cpu()
        if not batch.is_floating_point() or not bool(torch.isfinite(batch).all()):
            raise InvalidInputError("calibration must hold finite real numbers")
        if bool(((batch < low - _SLACK * (1 + low.abs())) | (batch > high + _SLACK * (1 + high.abs()))).any()):
            raise InvalidInputError(
                f"calibration holds numbers from {float(batch.min()):g} to {float(batch.max()):g}, which leave the box "
                f"of inputs; give its corners as low and high"
            )
        chunks += [chunk.clone() for chunk in torch.split(batch, _CHUNK)]
    if not sum(len(chunk) for chunk in chunks):
        raise InvalidInputError("calibration holds no inputs")
    return chunks


class _Store:
    """Keeps tensors in float32; beyond a budget in a file, which the operating system may drop from memory."""

    def __init__(self, folder: Path, budget: int) -> None:
        self._folder, self._budget = folder, budget
        self._used = self._files = 0

    def put(self, value: Any) -> Any:
        return fx.node.map_aggregate(value, self._keep)

    def get(self, value: Any) -> Any:
        return fx.node.map_aggregate(
            value, lambda item: item.double() if isinstance(item, Tensor) and item.is_floating_point() else item
        )

    def free(self, value: Any) -> None:
        for tensor in tensors_of(value) or ():
            self._used -= tensor.numel() * tensor.element_size()

    def _keep(self, item: Any) -> Any:
        if not isinstance(item, Tensor):
            return item
        kept = item.float() if item.is_floating_point() else item
        kept = kept.clone() if kept is item else kept
        self._used += kept.numel() * kept.element_size()
        if self._used <= self._budget or kept.numel() == 0:
            return kept
        self._files += 1
        path = self._folder / str(self._files)
        mapped = torch.from_file(str(path), shared=True, size=kept.numel(), dtype=kept.dtype).reshape(kept.shape)
        mapped.copy_(kept)
        path.unlink()  # the mapping keeps it alive
        return mapped


def calibrate(
    layers: Sequence[FittedLayer],
    seed: int,
    traced: Traced,
    chunks: Sequence[Tensor],
    find: Find,
    threads: int | None,
    memory: int,
) -> tuple[float | None, list[str]]:
    """Refit every layer in forward order on the ticket's own activations; return the output error, and what was not.

    Parameters
    ----------
    layers : sequence of FittedLayer
        Filled in place.
    traced : Traced
        The plain target; it must have a graph.
    chunks : sequence of Tensor
        As `checked_calibration` returns them.
    memory : int
        Bytes of activations that are held; more go to temporary files.

    Returns
    -------
    error : float or None
        ‖ticket - target‖ / ‖target - its mean‖ over the calibration inputs.
    only_constants : list of str
        Layers too wide for a Hessian, whose constants alone were fitted, and layers that the forward never calls.

    Notes
    -----
    A layer that is called several times is refitted at its first call. Costs about two forward passes in float64 and
    O(rows F²) for the Hessians.
    """
    graph_module = traced.graph_module
    if graph_module is None:
        raise InvalidInputError(f"calibration needs a forward that can be traced: {traced.reason}")
    names = canonical_names(traced.model)
    waiting = {names[fitted.plan.layer.name]: fitted for fitted in layers}
    done: dict[str, FittedLayer] = {}
    with tempfile.TemporaryDirectory(prefix="sslth-") as folder, torch.no_grad():
        walk = _Walk(graph_module, len(chunks), _Store(Path(folder), memory))
        for node in graph_module.graph.nodes:
            if node.op == "output":
                break
            name = str(node.target) if node.op == "call_module" else ""
            if node.op == "placeholder":
                walk.start(node, chunks)
                continue
            walk.step_target(node)
            if name in waiting:
                done[name] = waiting.pop(name)
                refit(done[name], _moments(done[name], walk, node), seed, find, threads)
            walk.step_ticket(node, done)
        error = output_error(walk.results(node))
    for fitted in waiting.values():
        _leave(fitted, seed, find, threads)
    wide = [fitted.plan.layer.name for fitted in done.values() if _features(fitted) > LARGEST_HESSIAN]
    return error, wide + [fitted.plan.layer.name for fitted in waiting.values()]


def _leave(fitted: FittedLayer, seed: int, find: Find, threads: int | None) -> None:
    tasks = [*channel_tasks(fitted, seed), *bias_tasks(fitted, seed, fitted.wanted_bias)]
    add_up([(fitted, task) for task in tasks], find, threads)


def _features(fitted: FittedLayer) -> int:
    wiring = fitted.plan.layer.wiring
    signs = 1 if fitted.plan.layer.nonnegative else 2
    return wiring.inputs_per_group * signs * int(np.prod(wiring.kernel_size))


def _moments(fitted: FittedLayer, walk: _Walk, node: fx.Node) -> Moments:
    """Of the ticket's inputs and the target's results, which `walk` has by now."""
    layer = fitted.plan.layer
    largest_input = largest_target = 0.0
    rows = 0
    for x, z in walk.ticket_inputs_and_target_results(node):
        largest_input = max(largest_input, float(x.abs().max()))
        largest_target = max(largest_target, float(z.abs().max()))
        rows += z.numel() // layer.wiring.out_channels
    gram = Gram(
        layer.wiring, not layer.nonnegative, bool(layer.tap_constants), largest_input, largest_target, rows,
        _features(fitted) <= LARGEST_HESSIAN,
    )  # fmt: skip
    for x, z in walk.ticket_inputs_and_target_results(node):
        gram.add(x, z)
    return gram.moments()


class _Walk:
    """The graph's values in both networks, chunk by chunk, from one operation to the next."""

    def __init__(self, graph_module: fx.GraphModule, chunks: int, store: _Store) -> None:
        self._interpreter = fx.Interpreter(graph_module)
        self._chunks, self._store = chunks, store
        self._values: dict[fx.Node, list[Pair]] = {}
        self._readers = {node: len(node.users) for node in graph_module.graph.nodes}
        self._started = False
        self._ahead: list[Any] = []  # of the operation that the target is ahead with

    def start(self, node: fx.Node, chunks: Sequence[Tensor]) -> None:
        """Enter the inputs; further arguments of the forward have their defaults."""
        default = node.args[0] if node.args else None
        inputs: Iterable[Any] = [default] * len(chunks) if self._started else chunks
        self._values[node] = [(self._store.put(value), self._store.put(value)) for value in inputs]
        self._started = True

    def arguments(self, node: fx.Node) -> Iterator[tuple[tuple[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]]:
        """The arguments of an operation in the target and in the ticket, in float64."""
        for number in range(self._chunks):
            yield self._fetched(node, number, 0), self._fetched(node, number, 1)

    def _fetched(self, node: fx.Node, number: int, side: int) -> tuple[Any, dict[str, Any]]:
        def value(source: fx.Node) -> Any:
            return self._store.get(self._values[source][number][side])

        return fx.node.map_arg(node.args, value), dict(fx.node.map_arg(node.kwargs, value))

    def run(self, node: fx.Node, arguments: Any, keywords: Mapping[str, Any]) -> Any:
        """The target's operation."""
        return getattr(self._interpreter, node.op)(node.target, arguments, dict(keywords))

    def step_target(self, node: fx.Node) -> None:
        """Apply one operation in the target."""
        self._ahead = [self._store.put(self.run(node, *self._fetched(node, i, 0))) for i in range(self._chunks)]

    def ticket_inputs_and_target_results(self, node: fx.Node) -> Iterator[tuple[Any, Any]]:
        """What a layer sees in the ticket and what `step_target` has just made of the target, in float64."""
        for number, result in enumerate(self._ahead):
            yield self._fetched(node, number, 1)[0][0], self._store.get(result)

    def step_ticket(self, node: fx.Node, fitted: Mapping[str, FittedLayer]) -> None:
        """Apply the same operation in the ticket, and drop what is not read again."""
        layer = fitted.get(str(node.target)) if node.op == "call_module" else None
        results: list[Pair] = []
        for number, wanted in enumerate(self._ahead):
            arguments = self._fetched(node, number, 1)
            mine = self.run(node, *arguments) if layer is None else apply_fitted(layer, arguments[0][0])
            results.append((wanted, self._store.put(mine)))
        self._values[node], self._ahead = results, []
        for source in node.all_input_nodes:
            self._readers[source] -= 1
            if self._readers[source] == 0:
                for pair in self._values.pop(source):
                    for value in pair:
                        self._store.free(value)

    def results(self, node: fx.Node) -> Iterator[Pair]:
        """The networks' outputs."""
        for target, ticket in self.arguments(node):
            yield target[0], ticket[0]


def apply_fitted(fitted: FittedLayer, x: Tensor) -> Tensor:
    """What the kept filters compute."""
    layer = fitted.plan.layer
    wiring = layer.wiring
    batch = x if wiring.pointwise or x.dim() == window_rank(wiring) + 2 else batched(x, wiring)
    kernels = torch.from_numpy(fitted.kernels)
    out = apply_wiring(pad_input(torch.relu(batch), wiring), kernels[0], wiring)
    if not layer.nonnegative:
        out = out + apply_wiring(pad_input(torch.relu(-batch), wiring), kernels[1], wiring)
    if layer.tap_constants:
        out = out + constant_image(batch, torch.from_numpy(fitted.taps), wiring)
    out = out + bias_column(torch.from_numpy(fitted.bias), wiring, batch.dim())
    return out if batch is x else out[0]


def errors_with_and_without(
    plain: nn.Module, layers: Sequence[FittedLayer], inputs: Tensor
) -> tuple[float | None, float | None]:
    """Return the output error on the inputs, and what it is without constant channels and with the target's biases."""
    found: list[float | None] = []
    for compensated in (True, False):
        merged = {fitted.plan.layer.name: merged_of_fitted(fitted, compensated) for fitted in layers}
        ticket = merged_module(plain, merged, torch.float64, plain=True).eval()
        with torch.no_grad():
            chunks = [chunk.cpu().double() for chunk in torch.split(inputs, _CHUNK)]
            found.append(output_error((plain(chunk.clone()), ticket(chunk.clone())) for chunk in chunks))
    return found[0], found[1]


def merged_of_fitted(fitted: FittedLayer, compensated: bool = True) -> MergedLayer:
    """The sums as they stand; not compensated: without a constant channel, and with the target's own bias."""
    layer, plan = fitted.plan.layer, fitted.plan
    bias = torch.from_numpy(fitted.bias if compensated else fitted.wanted_bias) if layer.constants else None
    positive, negative = torch.from_numpy(fitted.kernels[0]), torch.from_numpy(fitted.kernels[1])
    taps = torch.from_numpy(fitted.taps) if layer.tap_constants and compensated else None
    zero = torch.zeros_like(positive)
    return MergedLayer(
        positive,
        None if plan.layer.nonnegative else negative,
        bias,
        zero,
        None if plan.layer.nonnegative else zero,
        None if bias is None else torch.zeros_like(bias),
        taps,
        None if taps is None else torch.zeros_like(taps),
    )


def output_error(pairs: Iterable[Pair]) -> float | None:
    """Return ‖ticket - target‖ / ‖target - its mean over the inputs‖ of pairs of outputs, to three digits.

    None where the target's outputs do not differ, or do not have one shape.
    """
    targets: list[Tensor] = []
    tickets: list[Tensor] = []
    for target, ticket in pairs:
        for found, value in ((targets, target), (tickets, ticket)):
            tensors = tensors_of(value) or ()
            found.append(torch.cat([t.double().reshape(t.shape[0], -1) for t in tensors], dim=1))
    with contextlib.suppress(RuntimeError):
        y, z = torch.cat(targets), torch.cat(tickets)
        size = float((y - y.mean(dim=0)).norm())
        return float(f"{float((z - y).norm()) / size:.3g}") if size > 0 else None
    return None
