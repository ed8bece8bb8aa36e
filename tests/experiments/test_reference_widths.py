"""The widths of counting and of the theorems against their formulas."""

from __future__ import annotations

import math

import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.reference_widths import counting_epsilon, counting_width, mrss_shape, structured_shape


@pytest.mark.parametrize(("law", "d", "epsilon"), [("gaussian", 1, 0.01), ("nsn", 3, 0.2), ("uniform", 2, 0.05)])
def test_counting_width_is_the_first_that_reaches(law: str, d: int, epsilon: float) -> None:
    n = counting_width(law, d, epsilon)
    assert counting_epsilon(law, n, d) <= epsilon < counting_epsilon(law, n - 1, d)


def test_counting_grows_with_the_target_and_falls_with_its_size() -> None:
    assert counting_epsilon("gaussian", 16, 2, coordinate=1.0) > counting_epsilon("gaussian", 16, 2, coordinate=0.5)
    assert counting_epsilon("gaussian", 16, 2, k=2) > counting_epsilon("gaussian", 16, 2)


def test_shapes_scale_as_the_theorems_say() -> None:
    assert mrss_shape(4, 0.1) / mrss_shape(2, 0.1) == pytest.approx(8 * math.log(40) / math.log(20))
    logs = (math.log(9 * 4 * 2 / 0.1) / math.log(4 * 2 / 0.1)) ** 3
    assert structured_shape(3, 4, 2, 0.1) / structured_shape(1, 4, 2, 0.1) == pytest.approx(3**12 * logs)
    assert structured_shape(2, 3, 1, 0.1, (13.0, 6.0)) == pytest.approx(2 * structured_shape(2, 3, 1, 0.1))
    with pytest.raises(InvalidInputError, match="epsilon"):
        mrss_shape(2, 1.0)
