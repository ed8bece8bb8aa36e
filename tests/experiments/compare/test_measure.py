"""What is measured on a network, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sslth.data.splits import Splits, split_arrays
from sslth.experiments.compare.measure import connectivity_at, finetuned_again, measured, stored_bytes
from sslth.mining.masks import Mask
from sslth.mining.search import mine
from sslth.mining.training import Training


class Fixed(nn.Module):
    """The same logits for every input, or (sharpness given) those that the first entries of the input spell out."""

    def __init__(self, logits: list[float], sharpness: float = 0.0) -> None:
        super().__init__()
        self.logits, self.sharpness = torch.tensor(logits), sharpness

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits + self.sharpness * inputs.flatten(1)[:, : len(self.logits)]


@pytest.fixture(scope="module")
def spelled() -> Splits:
    """Two classes, two of three of class 1; images of 1x2x2 whose first entries are the label's indicator."""
    labels = np.arange(180) % 3 > 0
    inputs = np.zeros((180, 1, 2, 2), dtype=np.float32)
    inputs[:, 0, 0, 0], inputs[:, 0, 0, 1] = ~labels, labels
    return split_arrays(inputs, labels.astype(np.int64))


def test_a_constant_predictor(spelled: Splits) -> None:
    found = measured(Fixed([0.0, float(np.log(3.0))]), spelled, 0)
    share = float((spelled.test.labels == 1).double().mean())
    assert found["figures"]["ece"] == pytest.approx(abs(share - 0.75))
    assert found["figures"]["confidence_when_wrong"] == pytest.approx(0.75)
    assert found["figures"]["ood_auroc"] == 0.5
    assert set(found["ood"]) == {"rotated", "shuffled pixels"}  # letters are drawn for 8x8 images alone
    assert found["reasons"] == {}
    assert sum(found["bins"]["counts"]) == len(spelled.test)
    assert found["validation"]["accuracy"] == float((spelled.validation.labels == 1).double().mean())
    assert "accuracy" not in found["figures"]  # that of the ticket is said before and after finetuning


def test_a_perfect_predictor(spelled: Splits) -> None:
    found = measured(Fixed([0.0, 0.0], sharpness=1000.0), spelled, 0)
    assert [found["figures"][name] for name in ("ece", "adaptive_ece", "brier", "nll")] == [0.0, 0.0, 0.0, 0.0]
    assert found["figures"]["confidence_when_wrong"] is None
    assert found["reasons"] == {"confidence_when_wrong": "no prediction is wrong"}
    assert found["validation"] == {"accuracy": 1.0, "nll": 0.0}


def test_a_class_that_is_called_impossible_has_no_finite_likelihood(spelled: Splits) -> None:
    found = measured(Fixed([0.0, 1000.0]), spelled, 0)
    assert found["figures"]["nll"] is None
    assert found["reasons"]["nll"].startswith("infinite")


def test_what_is_no_image_has_nothing_unknown() -> None:
    labels = np.arange(60) % 2
    data = split_arrays(np.eye(2, dtype=np.float32)[labels], labels)
    found = measured(Fixed([0.0, 0.0], 1.0), data, 0)
    assert found["figures"]["ood_auroc"] is None
    assert found["ood"] == {}
    assert "no images" in found["reasons"]["ood_auroc"]


def _network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def test_a_ticket_that_is_not_finetuned_has_no_barrier_to_its_double(spelled: Splits) -> None:
    mined = mine(_network, spelled, "magnitude", keep=0.5, epochs=1, finetune_epochs=0, device="cpu")
    assert finetuned_again(mined, spelled) == 0.0
    found = connectivity_at(mined, spelled, Training(), 0)
    start = _network()
    start.load_state_dict(mined.start)
    dense = float((start(spelled.train.inputs).argmax(1) == spelled.train.labels).double().mean())
    assert found == {"connected": pytest.approx(dense), "dense_barrier": 0.0}


def test_bytes_count_places_values_and_what_is_not_masked() -> None:
    values = {"weight": torch.arange(4000.0).reshape(40, 100), "bias": torch.zeros(40)}

    def size(kept: int) -> int:
        keep = torch.zeros(4000, dtype=torch.bool)
        keep[:: 4000 // kept] = True
        return stored_bytes(Mask({"weight": keep.reshape(40, 100)}), values)

    assert size(400) - size(200) == pytest.approx(200 * (4 + 1), abs=16)  # a value and a short gap each
    wide = stored_bytes(Mask({"weight": torch.ones(40, 100, dtype=torch.bool)}), {**values, "bias": torch.zeros(140)})
    narrow = stored_bytes(Mask({"weight": torch.ones(40, 100, dtype=torch.bool)}), values)
    assert wide - narrow == pytest.approx(400, abs=8)
