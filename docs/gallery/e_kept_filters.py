"""
A ticket's kept filters
=======================

What is left of a random layer, filter by filter, and what their sum looks like beside the trained kernel.
"""

import numpy as np
import torch

import sslth
from sslth.cnn.random_layer import RandomLayer
from sslth.experiments.kernel_figures import draw_kept_filters, draw_kernel_comparison

# %%
# A layer with edges, blobs and a ramp as its kernels, and inputs in [0, 1]: only filters with v > 0 are needed.
# ``max_kept`` asks for few filters, so that all of them can be seen.
kernels = torch.tensor(
    [
        [[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]],
        [[-1.0, -2, -1], [0, 0, 0], [1, 2, 1]],
        [[0.0, 1, 0], [1, -4, 1], [0, 1, 0]],
        [[1.0, 2, 1], [2, 4, 2], [1, 2, 1]],
    ]
)
target = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3, padding=1, bias=False))
target[0].weight.data = kernels[:, None] / 8
ticket = sslth.extract(
    target, torch.zeros(1, 1, 8, 8), width=4096, seed=0, low=0.0, high=1.0, max_kept=32, progress=False
)
print(ticket)

# %%
# A kept filter is its scale times a random kernel for every output channel; weights are drawn again from the seed.
layer = ticket.layers[0]
(block,) = RandomLayer(ticket.seed, layer.layer).channels
filters = layer.channels[0].numbers()
rows = block.rows(filters, block.scales(filters)).reshape(-1, 4, 3, 3)
figure = draw_kept_filters(rows, total=block.size, title="the only input channel")

# %%
# Their sum, divided by the layer's gain, beside the target kernel.
comparison = draw_kernel_comparison(kernels.numpy() / 8, rows.sum(axis=0) / layer.layer.gain, title="sum of kept")
print("largest difference:", np.abs(rows.sum(axis=0) / layer.layer.gain - kernels.numpy() / 8).max())
