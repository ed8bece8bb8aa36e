"""One cell of the comparison: a way with one setting, one share and one seed, measured; a function of its parameters.

Only `seconds` depends on the machine. The test part is evaluated for every setting, and chosen by for none.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from sslth.data.load import load_splits
from sslth.data.splits import Splits
from sslth.experiments.compare.measure import connectivity_at, finetuned_again, measured, stored_bytes
from sslth.experiments.compare.ways import TRAININGS, WAYS
from sslth.experiments.user_files import build_network
from sslth.mining.connectivity import line_between
from sslth.mining.data_diet import diet_rows
from sslth.mining.ensemble import mine_ensemble
from sslth.mining.example_scores import score_examples
from sslth.mining.finetune import finetune
from sslth.mining.initial import initial_network
from sslth.mining.masks import Mask
from sslth.mining.methods import method_named
from sslth.mining.methods.edge_popup import EdgePopup
from sslth.mining.methods.imp import Imp
from sslth.mining.mined import Mined
from sslth.mining.sanity import arm_accuracies
from sslth.mining.search import mine
from sslth.mining.seeds import stream
from sslth.mining.training import accuracy
from sslth.networks.lenet_300_100 import lenet_300_100

__all__ = ["evaluate_way", "network_for"]

Parameters = Mapping[str, Any]
_CPU = torch.device("cpu")
_DIETS = {"imp": "all", "imp_random": "random", "imp_easiest": "easiest"}
_FRACTION = 0.1
_SCORERS, _SCORER_STEPS = 5, 20  # networks that are trained for so many steps to tell easy from hard


def evaluate_way(parameters: Parameters) -> dict[str, Any]:
    """Make one ticket and measure it: `figures`, `reasons`, `ood`, `bins`, `validation` and what its form adds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums, and so tickets, are then the same whoever calls
    try:
        data = _data(parameters["data"], parameters["fingerprint"], parameters["seed"])
        return _FORMS[WAYS[parameters["way"]].form](parameters, data)
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=2)
def _data(name: str, fingerprint: str, seed: int) -> Splits:  # noqa: ARG001 (tells apart what a path held when)
    return load_splits(name, seed=seed)


def network_for(arch: str | None, data: Splits) -> nn.Module:
    """What `arch` ("module:callable") builds; without it LeNet-300-100 for the shape and classes of the data."""
    if arch is not None:
        return build_network(arch)
    return lenet_300_100(math.prod(data.train.inputs.shape[1:]), data.classes)


def _mine(parameters: Parameters, data: Splits, method: Any, epochs: int) -> Mined:
    return mine(
        lambda: network_for(parameters["arch"], data),
        data,
        method,
        keep=parameters["keep"],
        epochs=epochs,
        finetune_epochs=parameters["finetune"],
        training=TRAININGS[parameters["settings"]["optimizer"]],
        seed=parameters["seed"],
        device="cpu",
        on_empty="keep_one",
    )


def _of_mined(mined: Mined, data: Splits, seed: int) -> dict[str, Any]:
    found = measured(mined.module(), data, seed)
    results = mined.results
    found["figures"] |= {
        "accuracy_before": results["accuracy_before"],
        "accuracy_after": results["accuracy_after"],
        "keep": mined.keep,
        "filters_removed": sum(results["filters_removed"].values()),
        "filters": _filters(mined.mask),
        "barrier": finetuned_again(mined, data),
        "steps": sum(results["steps"].values()),
        "seconds": mined.seconds,
        "bytes": stored_bytes(mined.mask, mined.final),
    }
    return found


def _filters(mask: Mask) -> int:
    return sum(keep.shape[0] for keep in mask.values() if keep.dim() >= 2)


def _mined(parameters: Parameters, data: Splits) -> dict[str, Any]:
    way = parameters["way"]
    chosen = {name: value for name, value in parameters["settings"].items() if name != "optimizer"}
    mined = _mine(parameters, data, method_named(way, chosen), parameters["epochs"])
    found = _of_mined(mined, data, parameters["seed"])
    if way == "gem_miner":
        found["controls"] = arm_accuracies(mined, data, parameters["seed"])
    return found


def _diet(parameters: Parameters, data: Splits) -> dict[str, Any]:
    seed, kind, rewind = parameters["seed"], _DIETS[parameters["way"]], parameters["settings"]["rewind"]
    training = TRAININGS[parameters["settings"]["optimizer"]]
    began, scores = time.perf_counter(), None
    if kind == "easiest":
        scores = score_examples(
            lambda: network_for(parameters["arch"], data),
            data,
            seeds=_SCORERS,
            steps=_SCORER_STEPS,
            training=training,
            seed=stream(seed, "el2n"),
        )
    rows = diet_rows(kind, data.train, fraction=_FRACTION, scores=scores, seed=seed)
    scoring = time.perf_counter() - began
    mined = _mine(parameters, data, Imp(rewind=rewind, rows=rows), parameters["round_epochs"])
    found = _of_mined(mined, data, seed)
    found["figures"]["seconds"] += scoring
    found["figures"]["steps"] += _SCORERS * _SCORER_STEPS if scores is not None else 0
    return {**found, **connectivity_at(mined, data, training, parameters["round_epochs"])}


def _ensemble(parameters: Parameters, data: Splits) -> dict[str, Any]:
    settings = parameters["settings"]
    lambdas = [math.inf if value is None else value for value in settings["lambdas"]]
    began = time.perf_counter()
    ensemble = mine_ensemble(
        lambda: network_for(parameters["arch"], data),
        data,
        lambdas,
        method=EdgePopup(scale_keep=settings["scale_keep"]),
        keep=parameters["keep"],
        epochs=parameters["epochs"],
        finetune_epochs=parameters["finetune"],
        training=TRAININGS[parameters["settings"]["optimizer"]],
        seed=parameters["seed"],
        device="cpu",
        on_empty="keep_one",
    )
    seconds = time.perf_counter() - began
    found = measured(ensemble.module(), data, parameters["seed"])
    members = ensemble.members
    found["figures"] |= {
        "accuracy_before": ensemble.results["accuracy_before"],
        "accuracy_after": ensemble.results["accuracy_after"],
        "keep": ensemble.keep,
        "filters_removed": sum(sum(member.results["filters_removed"].values()) for member in members),
        "filters": sum(_filters(member.mask) for member in members),
        "barrier": None,
        "steps": ensemble.results["steps"],
        "seconds": seconds,
        "bytes": sum(stored_bytes(member.mask, member.final) for member in members),
    }
    found["reasons"]["barrier"] = "several networks answer together; there is no one line between two of them"
    return found


def _trained(parameters: Parameters, data: Splits, order: int = 0) -> tuple[nn.Module, nn.Module, Mask, int]:
    """The network before and after training it dense, as long as a search and finetuning; a mask of all; the steps."""
    seed = parameters["seed"]
    start = initial_network(lambda: network_for(parameters["arch"], data), seed, redraw=False)
    mask = Mask({name: torch.ones_like(value, dtype=torch.bool) for name, value in start.named_parameters()})
    network, history = finetune(
        start,
        start.state_dict(),
        mask,
        data,
        TRAININGS[parameters["settings"]["optimizer"]],
        epochs=parameters["epochs"] + parameters["finetune"],
        seed=stream(seed, "dense", order),
        device=_CPU,
        phase="dense",
    )
    return start, network, mask, history[-1]["steps"] if history else 0


def _dense(parameters: Parameters, data: Splits) -> dict[str, Any]:
    began = time.perf_counter()
    start, network, mask, steps = _trained(parameters, data)
    seconds = time.perf_counter() - began
    found = measured(network, data, parameters["seed"])
    again = _trained(parameters, data, order=1)[1]  # from the same weights, batches in another order
    found["figures"] |= {
        "accuracy_before": accuracy(start.eval(), data.test, _CPU),
        "accuracy_after": accuracy(network, data.test, _CPU),
        "keep": mask.keep,
        "filters_removed": 0,
        "filters": _filters(mask),
        "barrier": line_between(network, again, data.test).barrier,
        "steps": steps,
        "seconds": seconds,
        "bytes": sum(4 * value.numel() for value in network.state_dict().values()),
    }
    return found


def _extracted(parameters: Parameters, data: Splits) -> dict[str, Any]:
    from sslth.cnn.extract import extract
    from sslth.cnn.ticket_file import ticket_size

    began = time.perf_counter()
    _, network, _, steps = _trained(parameters, data)
    inputs = data.train.inputs
    ticket = extract(
        network,
        inputs[:64],
        parameters["width"],
        parameters["seed"],
        low=min(float(inputs.min()), 0.0),
        high=max(float(inputs.max()), 0.0),
        device="cpu",
        progress=False,
        jobs=1,
    )
    computed = ticket.to_module(network, merged=True)
    seconds = time.perf_counter() - began
    found = measured(computed, data, parameters["seed"])
    found["figures"] |= {
        "accuracy_before": accuracy(computed, data.test, _CPU),
        "accuracy_after": None,
        "keep": ticket.kept_filters / ticket.total_filters,
        "filters_removed": ticket.total_filters - ticket.kept_filters,
        "filters": ticket.total_filters,
        "barrier": None,
        "steps": steps,
        "seconds": seconds,
        "bytes": ticket_size(ticket),
    }
    found["reasons"] |= {
        "accuracy_after": "not finetuned: its random weights already compute the trained network",
        "barrier": "its weights are never trained",
    }
    with torch.no_grad():
        same = (computed(data.test.inputs).argmax(1) == network(data.test.inputs).argmax(1)).double().mean()
    return {**found, "agreement": float(same), "target_accuracy": accuracy(network, data.test, _CPU)}


_FORMS = {"mined": _mined, "ensemble": _ensemble, "diet": _diet, "extracted": _extracted, "dense": _dense}
