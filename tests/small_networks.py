"""Every network at a few channels, with batch norm statistics of its own, and the shape of its inputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sslth import networks

SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "resnet20": (lambda: networks.resnet20(4, width=2), (3, 8, 8)),
    "resnet18": (lambda: networks.resnet18(4, width=2), (3, 32, 32)),
    "vgg11_bn": (lambda: networks.vgg11_bn(4, width=2, hidden=6, pooled=1), (3, 32, 32)),
    "mobilenet_v2": (lambda: networks.mobilenet_v2(4, 0.05, divisor=2, blocks=1), (3, 32, 32)),
    "squeezenet1_0": (lambda: networks.squeezenet1_0(4, width=12), (3, 40, 40)),
    "squeezenet1_1": (lambda: networks.squeezenet1_1(4, width=12), (3, 32, 32)),
    "densenet": (lambda: networks.densenet121(4, growth=2, layers=(2, 2)), (3, 16, 16)),
    "lenet5_tanh": (lambda: networks.lenet5_tanh(4, width=3), (1, 32, 32)),
    "cnn1d": (lambda: networks.cnn1d(4, width=2), (1, 32)),
}
NORMS = nn.modules.batchnorm._NormBase


def inputs_for(name: str, count: int = 8) -> Tensor:
    """Inputs in [0, 1], always the same."""
    return torch.rand(count, *SMALL[name][1], generator=torch.Generator().manual_seed(1))


def small_network(name: str, seed: int = 0) -> nn.Module:
    """The network in evaluation mode; statistics from some batches, scales and offsets drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SMALL[name][0]()
        for module in model.modules():
            if isinstance(module, NORMS):
                nn.init.uniform_(module.weight, 0.6, 1.4)
                nn.init.normal_(module.bias, 0.0, 0.3)
            elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.uniform_(module.bias, 0.0, 0.3)
        model.train()
        with torch.no_grad():
            for _ in range(20):
                model(torch.rand(8, *SMALL[name][1]))
    return model.eval()
