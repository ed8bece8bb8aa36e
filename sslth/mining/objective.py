"""What a batch is trained to minimise: cross-entropy, as it is, smoothed, mixed up, or robust."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sslth.errors import InvalidInputError

if TYPE_CHECKING:
    from sslth.mining.training import Training

__all__ = ["batch_loss", "check_objective", "is_number", "robust_loss", "robust_weights"]


def robust_weights(losses: Tensor, kl_penalty: float) -> Tensor:
    """The weights of a batch's examples that a robust loss takes: p_i proportional to exp(l_i / λ), without a gradient.

    They maximise sum(p_i l_i) - λ KL(p || uniform) over all distributions p on the batch: λ = `kl_penalty` infinite
    gives the plain mean, λ near 0 the hardest example alone. Equal hardest examples share.

    Parameters
    ----------
    losses : float[m]
    kl_penalty : float
        Above 0; may be infinite.

    Examples
    --------
    >>> robust_weights(torch.tensor([0.0, math.log(3.0)]), 1.0)
    tensor([0.2500, 0.7500])
    >>> robust_weights(torch.tensor([0.0, 1.0, 1.0]), 1e-300)
    tensor([0.0000, 0.5000, 0.5000])
    """
    fixed = losses.detach().double()
    # the largest is taken off before the division, so that nothing overflows however small λ is
    return torch.softmax((fixed - fixed.max()) / kl_penalty, 0).to(losses.dtype)


def robust_loss(losses: Tensor, kl_penalty: float | None) -> Tensor:
    """The mean of the losses under `robust_weights`; None and infinity give the plain mean.

    Its gradient is that of λ log mean exp(l_i / λ), the value of the maximum in `robust_weights`, although the two
    differ in value by the penalty.
    """
    if kl_penalty is None or math.isinf(kl_penalty):
        return losses.mean()
    return (robust_weights(losses, kl_penalty) * losses).sum()


def batch_loss(network: nn.Module, inputs: Tensor, labels: Tensor, training: Training, rng: Any) -> Tensor:
    """The loss of one batch by a `Training`'s label smoothing, mixup and KL penalty.

    Mixup [ZhangEtAl2018]_ trains on share * x + (1 - share) * x', where x' is another example of the batch, and mixes
    the two losses in the same way; the share is drawn from Beta(α, α) once a batch. `rng`, a NumPy generator, is used
    by mixup only.

    References
    ----------
    .. [ZhangEtAl2018] H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz, "mixup: Beyond Empirical Risk Minimization",
       ICLR 2018. arXiv:1710.09412
    """
    smoothing = training.label_smoothing
    if not training.mixup and training.kl_penalty is None:
        return F.cross_entropy(network(inputs), labels, label_smoothing=smoothing)
    share, others = 1.0, labels
    if training.mixup:
        share = float(rng.beta(training.mixup, training.mixup))
        order = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
        inputs, others = share * inputs + (1.0 - share) * inputs[order], labels[order]
    outputs = network(inputs)
    losses = F.cross_entropy(outputs, labels, reduction="none", label_smoothing=smoothing)
    if training.mixup:
        mixed_in = F.cross_entropy(outputs, others, reduction="none", label_smoothing=smoothing)
        losses = share * losses + (1.0 - share) * mixed_in
    return robust_loss(losses, training.kl_penalty)


def check_objective(label_smoothing: float, mixup: float, kl_penalty: float | None) -> None:
    """Refuse numbers that are no objective.

    Raises
    ------
    InvalidInputError
        If label_smoothing is outside [0, 1), mixup negative or infinite, or kl_penalty not positive and finite.
    """
    penalty = math.nan if kl_penalty is None else kl_penalty
    for name, value in (("label_smoothing", label_smoothing), ("mixup", mixup), ("kl_penalty", penalty)):
        if not is_number(value):
            raise InvalidInputError(f"{name} is {value!r}; a number is needed")
    if not 0.0 <= label_smoothing < 1.0:
        raise InvalidInputError(f"label_smoothing is {label_smoothing}; it lies in [0, 1)")
    if not (mixup >= 0.0 and math.isfinite(mixup)):
        raise InvalidInputError(f"mixup is {mixup}; it is the α of Beta(α, α), above 0, or 0 for none")
    if kl_penalty is not None and not (kl_penalty > 0.0 and math.isfinite(kl_penalty)):
        raise InvalidInputError(f"kl_penalty is {kl_penalty}; it is above 0 and finite, or None for the plain mean")


def is_number(value: object) -> bool:
    """Whether it is a real number; truth values are none."""
    return isinstance(value, Real) and not isinstance(value, bool)
