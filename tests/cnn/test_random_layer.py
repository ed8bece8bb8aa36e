"""Sums of drawn filters against sums of their rows, one after the other."""

from itertools import accumulate

import numpy as np
import pytest

from sslth.cnn.layers import Layer, Wiring
from sslth.cnn.random_layer import Block


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize(("out_channels", "window"), [(1, ()), (1, (3, 3)), (512, (3, 3))])
def test_a_total_is_that_of_the_rows_in_turn(law, out_channels, window):
    kind = "conv2d" if window else "linear"
    layer = Layer("layer", 3, Wiring(kind, 2, out_channels, False, window), 4000, 0, True, 1.0, law)
    block = Block(7, layer, 1)
    rng = np.random.default_rng(0)
    tile = (1 << 17) // block.d
    for k in (0, 1, min(tile, 4000), min(tile + 3, 4001)):
        filters = np.sort(rng.choice(8000, k, replace=False)).astype(np.uint32)
        rows = block.rows(filters, block.scales(filters))
        *_, expected = [np.zeros(block.d), *accumulate(rows)]
        assert block.total(filters).tobytes() == expected.tobytes()
