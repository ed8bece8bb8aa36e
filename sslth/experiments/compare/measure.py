"""What is measured on a finished network, in the same way for every way to a ticket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor, nn

from sslth.cnn.index_codec import packed
from sslth.data.letters import letters
from sslth.data.shifted import rotated, shuffled_pixels
from sslth.data.splits import Examples, Splits
from sslth.mining.connectivity import line_between, sgd_children
from sslth.mining.finetune import finetune
from sslth.mining.masks import Mask
from sslth.mining.metrics.calibration import calibration_metrics, negative_log_likelihood
from sslth.mining.metrics.open_set import ood_auroc
from sslth.mining.metrics.reliability import reliability
from sslth.mining.mined import Mined
from sslth.mining.predictions import probabilities_of
from sslth.mining.seeds import stream
from sslth.mining.training import Training, accuracy

__all__ = ["connectivity_at", "finetuned_again", "measured", "stored_bytes"]

_CPU = torch.device("cpu")
_DIGIT = (1, 8, 8)


def measured(network: nn.Module, data: Splits, seed: int) -> dict[str, Any]:
    """Calibration and detection on the test part, and what the validation part says; JSON values.

    `figures` has numbers, or None with a sentence of `reasons`; `ood` the area under the ROC curve for each unknown
    set, of which `ood_auroc` is the mean; `bins` is the reliability diagram; `validation` what a choice may look at.
    """
    rows = probabilities_of(network, data.test.inputs)
    labels = data.test.labels.numpy()
    figures: dict[str, float | None] = {}
    reasons: dict[str, str] = {}
    for name, value in calibration_metrics(rows, labels).items():
        if name != "accuracy":
            figures[name] = value if value is None or math.isfinite(value) else None
    if figures["confidence_when_wrong"] is None:
        reasons["confidence_when_wrong"] = "no prediction is wrong"
    if figures["nll"] is None:
        reasons["nll"] = "infinite: a true class has probability 0"
    known = rows.max(1)
    ood = {
        name: ood_auroc(known, probabilities_of(network, part.inputs).max(1))
        for name, part in _unknown(data.test, seed).items()
    }
    figures["ood_auroc"] = sum(ood.values()) / len(ood) if ood else None
    if not ood:
        reasons["ood_auroc"] = "the inputs are no images, so that none can be turned or drawn"
    bins = reliability(rows, labels)
    seen = probabilities_of(network, data.validation.inputs)
    return {
        "figures": figures,
        "reasons": reasons,
        "ood": ood,
        "bins": {
            "counts": bins.counts.tolist(),
            "right": bins.right.tolist(),
            "confidence": np.nan_to_num(bins.confidence).tolist(),
        },
        "validation": {
            "accuracy": accuracy(network, data.validation, _CPU),
            "nll": negative_log_likelihood(seen, data.validation.labels.numpy()),
        },
    }


def _unknown(test: Examples, seed: int) -> dict[str, Examples]:
    if test.inputs.dim() != 4:
        return {}
    found = {"rotated": rotated(test, seed=seed), "shuffled pixels": shuffled_pixels(test, seed=seed)}
    if tuple(test.inputs.shape[1:]) == _DIGIT:
        found["letters"] = letters(len(test), seed=seed)
    return found


def finetuned_again(mined: Mined, data: Splits) -> float:
    """The barrier of the test error between a ticket's network and a second finetuning with batches in another order.

    Both start from the same weights under the same mask; 11 points, ends included.
    """
    again, _ = finetune(
        mined.template,
        mined.start,
        mined.mask,
        data,
        mined.setup.training,
        epochs=mined.setup.finetune,
        seed=stream(mined.setup.seed, "again"),
        device=_CPU,
        phase="again",
    )
    return line_between(mined.module(), again, data.test).barrier


def connectivity_at(mined: Mined, data: Splits, training: Training, epochs: int) -> dict[str, float]:
    """Where a ticket's weights start from, how connected are two *dense* trainings? On the training part.

    `connected` is the share of examples that are right all along the line, `barrier` that of the error.
    """
    pair = sgd_children(
        mined.template, mined.start, None, data, training, epochs=epochs, seed=stream(mined.setup.seed, "dense pair")
    )
    line = pair.line(data.train)
    return {"connected": float(line.connected.double().mean()), "dense_barrier": line.barrier}


def stored_bytes(mask: Mask, final: Mapping[str, Tensor]) -> int:
    """Bytes of a safetensors file with a masked network: kept places as gaps, their values, and all that is unmasked.

    Places are coded as in the files of subset-sum tickets.

    Examples
    --------
    >>> mask = Mask({"weight": torch.tensor([[True, False]])})
    >>> header = stored_bytes(mask, {"weight": torch.zeros(1, 2)}) - (1 + 4)  # a gap and a value
    >>> stored_bytes(Mask({"weight": torch.tensor([[True, True]])}), {"weight": torch.zeros(1, 2)}) - header
    10
    """
    arrays: dict[str, Any] = {}
    for name, values in final.items():
        array = values.detach().cpu().contiguous()
        if name in mask:
            places = mask[name].flatten().nonzero().flatten().numpy().astype(np.uint32)
            arrays[f"{name}.kept"] = np.frombuffer(b"".join(packed([places])), dtype=np.uint8)
            array = array.flatten()[mask[name].flatten()]
        arrays[name] = array.numpy()
    return len(save(arrays))
