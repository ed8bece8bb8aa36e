"""Our convolution against torch's and against loops; the gain of a layer."""

import numpy as np
import pytest
import torch

from sslth.errors import InvalidInputError
from sslth.theory.convolution import convolve, layer_gain


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (1, 2, 2), (3, 2, 1)])
def test_agrees_with_torch(stride, padding, dilation):
    rng = np.random.default_rng(stride)
    kernel, x = rng.integers(-9, 10, (3, 2, 3, 2)), rng.integers(-9, 10, (2, 8, 7))
    theirs = torch.nn.functional.conv2d(
        torch.tensor(x[None], dtype=torch.float64),
        torch.tensor(kernel, dtype=torch.float64),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )[0]
    ours = convolve(kernel, x, stride, padding, dilation)
    assert ours.dtype == np.int64
    assert np.array_equal(ours, theirs.numpy())


def test_one_output_by_hand():
    kernel = np.array([[[[2, 0], [0, -3]], [[1, 1], [0, 0]]]])
    x = np.arange(8).reshape(2, 2, 2)
    assert convolve(kernel, x).tolist() == [[[2 * 0 - 3 * 3 + 4 + 5]]]
    assert layer_gain(kernel) == 7


def test_bad_input():
    with pytest.raises(InvalidInputError):
        convolve(np.ones((1, 2, 1, 1)), np.ones((3, 4, 4)))
    with pytest.raises(InvalidInputError):
        convolve(np.ones((1, 1, 3, 3)), np.ones((1, 2, 5)))
