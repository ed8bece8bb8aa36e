"""Mining a ticket: prepare the network, search a mask, finetune what it keeps, report."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sslth.data.splits import Splits
from sslth.errors import InvalidInputError
from sslth.mining.budgets import check_keep
from sslth.mining.checkpoints import Checkpoints
from sslth.mining.diverged import DivergedError
from sslth.mining.finetune import accuracies_under, finetune, reestimate, with_statistics
from sslth.mining.initial import Model, initial_network
from sslth.mining.masks import Mask
from sslth.mining.methods import method_named
from sslth.mining.mined import Mined, Setup, load_mined
from sslth.mining.run import Found, Method, Run
from sslth.mining.scope import Scope, Slot, masked_slots, zero_biases
from sslth.mining.training import Loop, Training, accuracy
from sslth.mining.weights import draw_weights

__all__ = ["mine"]


def mine(
    model: Model,
    data: Splits,
    method: Method | str,
    *,
    keep: float = 0.05,
    epochs: int = 20,
    finetune_epochs: int | None = None,
    training: Training | None = None,
    seed: int = 0,
    device: str = "auto",
    scope: Scope | None = None,
    on_empty: str = "refuse",
    out: str | os.PathLike[str] | None = None,
    restart: bool = False,
    checkpoint_seconds: float = 5.0,
    progress: Callable[[int, int, str], object] | None = None,
) -> Mined:
    """Find a mask of a model by a method, then finetune what it keeps.

    The same seed gives the same ticket on the CPU of one machine and number of threads; the caller's model and the
    global random state are left alone. The test part is looked at only after the mask is fixed.

    Parameters
    ----------
    model : Module or callable
        The network with its initial weights, or a function that builds it, called under the seed. Parameters that do
        not require gradients are masked but never trained; with all of them frozen, finetuning needs 0 epochs.
    method : Method or str
        An object, or a name of `known_methods()` for its defaults.
    keep : float
        Share of the masked tensors' entries to keep; structured edge-popup: of filters.
    epochs, finetune_epochs : int
        Of the search, where it trains anything, and of finetuning (as many, if not given).
    training : Training
        Of weights: finetuning, and the dense training of magnitude pruning. Scores have the method's own.
    device : str
        "auto" is a GPU where there is one.
    scope : Scope
        What is masked: biases, norms, first and last layer.
    on_empty : str
        A layer that the budget would empty: "refuse", or "keep_one".
    out : path
        A folder for checkpoints and the result. The same call goes on where an earlier one was stopped, and returns
        at once what is finished; `restart=True` discards it.
    checkpoint_seconds : float
        The least time between two checkpoints within a phase; a run that is interrupted or diverges writes its last
        good epoch as well, so that a kill alone costs so much.

    Raises
    ------
    InvalidInputError
        If an argument cannot be, a layer would be emptied, or `out` belongs to another model or other settings.
    DivergedError
        If a loss is not finite.

    Examples
    --------
    >>> from sslth.data.splits import digit_splits
    >>> from sslth.networks import small_cnn
    >>> mined = mine(small_cnn, digit_splits(), "synflow", keep=0.1, finetune_epochs=1)
    >>> mined.mask.kept, mined.mask.size
    (186, 1864)
    """
    began = time.perf_counter()
    chosen = method_named(method) if isinstance(method, str) else method
    setup = Setup(
        method=chosen,
        keep=check_keep(keep),
        epochs=_epochs(epochs),
        finetune=_epochs(epochs if finetune_epochs is None else finetune_epochs),
        training=training or Training(),
        seed=seed,
        scope=scope or Scope(),
        on_empty=on_empty,
        device=device,
    )
    place = _device(device)
    network, slots = prepared(model, setup, seed, redraw=False)
    network.to(place)
    _check_outputs(network, data, place)
    template = copy.deepcopy(network).cpu()

    def redrawn(another: int) -> nn.Module:
        return prepared(model, setup, another, redraw=True)[0]

    store = None
    if out is not None:
        store = Checkpoints(Path(out), _settings(setup, template, data), restart=restart, every=checkpoint_seconds)
        if store.path("result.json").exists():
            return load_mined(store.folder, setup, template, redrawn)
    run = Run(
        network=network,
        slots=slots,
        scope=setup.scope,
        train_part=data.train,
        validation=data.validation,
        keep=setup.keep,
        epochs=setup.epochs,
        seed=seed,
        device=place,
        on_empty=on_empty,
        training=setup.training,
        checkpoints=store,
        progress=progress,
    )
    try:
        found = chosen.search(run)
        mined = _finished(run, found, data, setup, template, redrawn, began)
    except (DivergedError, KeyboardInterrupt):
        if store is not None:
            store.flush()  # the last good epoch, however short ago the last checkpoint was
        raise
    if store is not None:
        mined.save(store.folder)
        store.discard()
    return mined


def prepared(model: Model, setup: Setup, seed: int, *, redraw: bool) -> tuple[nn.Module, dict[str, Slot]]:
    """A copy of the model with the weights of its law under the seed, on the CPU; with `redraw` all weights are new."""
    network = initial_network(model, seed, redraw=redraw)
    for parameter in zero_biases(network, setup.scope):
        parameter.requires_grad_(False)
    slots = masked_slots(network, setup.scope)
    method: Any = setup.method
    scale = setup.keep if getattr(method, "scale_keep", False) else 1.0
    draw_weights(slots, getattr(method, "weights", "as_given"), seed, scale)
    return network, slots


def _finished(
    run: Run,
    found: Found,
    data: Splits,
    setup: Setup,
    template: nn.Module,
    redrawn: Callable[[int], nn.Module],
    began: float,
) -> Mined:
    network, device, store = run.network, run.device, run.checkpoints
    results: dict[str, Any] = {}
    if setup.scope.reestimate:
        reestimate(network, found.mask, data.train, device, setup.training.batch_size)
    before = accuracies_under(network, found.mask, data, device)
    start = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
    if found.used is not None:
        rounded = accuracies_under(network, found.used, data, device)
        results |= {"accuracy_before_rounded": rounded["test"], "keep_rounded": found.used.keep}

    def restore(loop: Loop) -> None:
        if store is not None:
            store.restore("finetune", loop)

    def checkpoint(loop: Loop, finished: bool) -> None:
        if store is not None:
            store.save("finetune", loop, finished)

    tuned, history = finetune(
        template,
        start,
        found.mask,
        data,
        setup.training,
        epochs=setup.finetune,
        seed=setup.seed,
        device=device,
        restore=restore,
        checkpoint=checkpoint,
        progress=run.progress,
    )
    history = run.history + history
    results |= {
        "accuracy_before": before["test"],
        "accuracy_after": accuracy(tuned, data.test, device),
        "validation_before": before["validation"],
        "validation_after": accuracy(tuned, data.validation, device),
        **_counted(found.mask, template),
        "batch_norms": _statistics(template, setup.scope),
        "steps": {entry["phase"]: entry["steps"] for entry in history},
    }
    return Mined(
        mask=found.mask,
        scores=found.scores,
        start=start,
        final={name: value.detach().cpu().clone() for name, value in tuned.state_dict().items()},
        history=history,
        results=results,
        seconds=time.perf_counter() - began,
        setup=setup,
        template=template,
        redrawn=redrawn,
    )


def _statistics(template: nn.Module, scope: Scope) -> str | None:
    if not with_statistics(template):
        return None
    return "reestimated" if scope.reestimate else "running"


def _counted(mask: Mask, template: nn.Module) -> dict[str, Any]:
    parameters = sum(parameter.numel() for parameter in template.parameters())
    return {
        "keep": mask.keep,
        "kept": mask.kept,
        "size": mask.size,
        "density": (parameters - mask.size + mask.kept) / parameters,
        "kept_by_layer": mask.counts(),
        "filters_removed": mask.filters_removed(),
    }


def _settings(setup: Setup, template: nn.Module, data: Splits) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, value in template.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    settings = {name: value for name, value in vars(setup).items() if name not in ("method", "training", "scope")}
    method: Any = setup.method
    return settings | {
        "method": {"name": setup.method.name, **dataclasses.asdict(method)},
        "training": dataclasses.asdict(setup.training),
        "scope": dataclasses.asdict(setup.scope),
        "model": {name: [str(v.dtype), list(v.shape)] for name, v in template.state_dict().items()},
        "weights": digest.hexdigest()[:16],
        "data": data.fingerprint(),
    }


def _check_outputs(network: nn.Module, data: Splits, device: torch.device) -> None:
    network.eval()
    with torch.no_grad():
        try:
            outputs = network(data.train.inputs[:2].to(device))
        except (RuntimeError, TypeError, ValueError) as error:
            shape = list(data.train.inputs.shape[1:])
            detail = " ".join(str(error).split())[:120]
            raise InvalidInputError(f"the model does not take inputs of shape {shape}: {detail}") from None
    if not isinstance(outputs, torch.Tensor) or outputs.dim() != 2:
        raise InvalidInputError("the model must give one row of class scores an input")
    if outputs.shape[1] < data.classes:
        raise InvalidInputError(f"labels go up to {data.classes - 1}, but the model has {outputs.shape[1]} outputs")


def _epochs(value: int) -> int:
    if not isinstance(value, int) or value < 0:
        raise InvalidInputError(f"epochs is {value!r}; a whole number, 0 or more, is needed")
    return value


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"there is no device {name!r}: {' '.join(str(error).split())[:80]}") from None
