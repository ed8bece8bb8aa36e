"""The theorem's width as a formula."""

import math

import pytest

from sslth.errors import InvalidInputError
from sslth.theory.exponents import StructuredWidth


def test_the_formula():
    width = StructuredWidth(a=13, b=5, constant=2.0).at(d=3, c=2, layers=4, epsilon=0.25)
    assert width == pytest.approx(2 * 3**13 * 2**5 * math.log(9 * 2 * 4 / 0.25) ** 3)


@pytest.mark.parametrize(
    ("d", "c", "layers", "epsilon"), [(0, 1, 1, 0.1), (1, 1, 0, 0.1), (1, 1, 1, 0.0), (1, 1, 1, 1.0)]
)
def test_bad_input(d, c, layers, epsilon):
    with pytest.raises(InvalidInputError):
        StructuredWidth().at(d, c, layers, epsilon)
