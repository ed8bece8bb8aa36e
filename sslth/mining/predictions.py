"""What networks say of inputs: outputs and probabilities, averaged over networks, at a temperature."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sslth.errors import InvalidInputError

__all__ = ["Averaged", "Tempered", "fit_temperature", "outputs_of", "probabilities_of"]

_AT_ONCE = 1000
_COLDEST, _HOTTEST = 0.05, 20.0


@torch.no_grad()
def outputs_of(network: nn.Module, inputs: Tensor) -> Tensor:
    """The outputs float64[m, classes] on the CPU, in evaluation mode; the network is left as it was."""
    was_training = network.training
    network.eval()
    first = next(iter(network.parameters()), None)
    device = inputs.device if first is None else first.device
    parts = [network(rows.to(device)).double().cpu() for rows in torch.split(inputs, _AT_ONCE)]
    network.train(was_training)
    return torch.cat(parts)


def probabilities_of(network: nn.Module, inputs: Tensor) -> npt.NDArray[np.float64]:
    """The softmax of `outputs_of`, float64[m, classes].

    Examples
    --------
    >>> probabilities_of(nn.Identity(), torch.tensor([[0.0, 0.0], [0.0, 800.0]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    found: npt.NDArray[np.float64] = torch.softmax(outputs_of(network, inputs), dim=1).numpy()
    return found


class Averaged(nn.Module):
    """Gives the logarithm of the mean of its members' probabilities, so that its softmax is that mean.

    Examples
    --------
    >>> sure, not_so = nn.Identity(), nn.Threshold(100.0, 0.0)
    >>> probabilities_of(Averaged([sure, not_so]), torch.tensor([[0.0, 50.0]])).round(6).tolist()
    [[0.25, 0.75]]
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if not members:
            raise InvalidInputError("there is no member to average; give at least one network")
        self.members = nn.ModuleList(members)

    def forward(self, inputs: Tensor) -> Tensor:
        """log of the mean probability, of the shape of one member's outputs."""
        logs = torch.stack([torch.log_softmax(member(inputs), dim=-1) for member in self.members])
        return torch.logsumexp(logs, dim=0) - math.log(len(self.members))


class Tempered(nn.Module):
    """Gives a network's outputs divided by a temperature: above 1 the probabilities are less sure."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        if not (temperature > 0.0 and math.isfinite(temperature)):
            raise InvalidInputError(f"temperature is {temperature}; it is positive and finite")
        self.network = network
        self.temperature = float(temperature)

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs over the temperature."""
        outputs: Tensor = self.network(inputs)
        return outputs / self.temperature


def fit_temperature(outputs: Tensor, labels: Tensor) -> float:
    """The temperature in [.05, 20] with the least negative log-likelihood of the labels.

    The likelihood is log-concave in 1 / temperature, so that its derivative, the mean of E_p[output] - output of the
    label, has one zero; Brent's method finds it. Where every output is right the lowest temperature is the best, and
    where outputs are worse than none the highest one. Fit on validation data, not on what is trained on or reported.

    Source: [GuoEtAl2017]_ (see `expected_calibration_error`).

    Parameters
    ----------
    outputs : float[m, classes]
    labels : int64[m]

    Examples
    --------
    >>> outputs = torch.tensor([[2.0, 0.0]] * 4)  # 3 of 4 are right: the odds are 3
    >>> round(fit_temperature(outputs, torch.tensor([0, 0, 0, 1])) * math.log(3.0), 6)
    2.0
    """
    from scipy.optimize import brentq

    if outputs.dim() != 2 or len(outputs) != len(labels) or len(labels) == 0:
        raise InvalidInputError(f"outputs {list(outputs.shape)} and labels {list(labels.shape)} do not belong together")
    values = outputs.detach().double().cpu()
    true = values[torch.arange(len(values)), labels.cpu()]

    def derivative(log_inverse: float) -> float:
        weights = torch.softmax(values * math.exp(log_inverse), dim=1)
        return float(((weights * values).sum(1) - true).mean())

    low, high = -math.log(_HOTTEST), -math.log(_COLDEST)
    if derivative(low) >= 0.0:
        return _HOTTEST
    if derivative(high) <= 0.0:
        return _COLDEST
    return math.exp(-float(brentq(derivative, low, high, xtol=1e-12)))
