"""The two-layer network of the first subset-sum experiment on trained networks."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["two_layer"]


def two_layer(hidden: int = 500, inputs: int = 784, classes: int = 10) -> nn.Sequential:
    """Two linear layers without bias, ReLU between them.

    For images of `inputs` pixels, float32[batch, 1, height, width]; returns logits float32[batch, classes]. 397,000
    weights with 500 hidden units: what [PensiaEtAl2020]_ approximate.

    References
    ----------
    .. [PensiaEtAl2020] A. Pensia, S. Rajput, A. Nagle, H. Vishwakarma, D. Papailiopoulos, "Optimal Lottery Tickets
       via SubsetSum: Logarithmic Over-Parameterization is Sufficient", NeurIPS 2020. arXiv:2006.07990

    Examples
    --------
    >>> sum(weights.numel() for weights in two_layer().parameters())
    397000
    """
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            linear1=nn.Linear(inputs, hidden, bias=False),
            relu1=nn.ReLU(),
            linear2=nn.Linear(hidden, classes, bias=False),
        )
    )
