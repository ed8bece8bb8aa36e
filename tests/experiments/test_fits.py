"""Fitted exponents: exact laws are found again, intervals cover, and what cannot be fitted is refused."""

from __future__ import annotations

import numpy as np
import pytest

from sslth.errors import InvalidInputError
from sslth.experiments.fits import fit_width_law, half_width, median_exponent


def test_half_width_interpolates_the_share() -> None:
    assert half_width([7] * 10) == 6.5
    assert half_width([5, 5, 9, 9]) == 5.0  # the share is 1/2 from 5 to 9
    assert half_width([0, 0, 0, 4]) == 0.0
    assert half_width([1, 2, 3, np.inf, np.inf, 3]) == pytest.approx(2.5)


@pytest.mark.parametrize("values", [[], [3, np.inf], [3, np.inf, np.inf]])
def test_half_width_refuses_what_it_cannot_see(values: list[float]) -> None:
    with pytest.raises(InvalidInputError, match="n_max"):
        half_width(values)


def test_median_exponent_covers_the_power_and_its_reference() -> None:
    rng = np.random.default_rng(3)
    smallest = {d: np.ceil(4.0 * d**1.5 + rng.normal(0, 1, 200)) for d in (2, 4, 8, 16)}
    found = median_exponent(smallest, np.random.default_rng(0), resamples=300)
    assert found.low < 1.5 < found.high
    assert found.high - found.low < 0.2
    assert found.low <= found.value <= found.high
    beyond = median_exponent(smallest, np.random.default_rng(0), 300, {d: 2.0 * d for d in smallest})
    assert beyond.value == pytest.approx(found.value - 1.0)


def test_median_exponent_needs_dimensions_and_rows() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInputError, match="two dimensions"):
        median_exponent({3: [4, 5, 6]}, rng)
    with pytest.raises(InvalidInputError, match="no rows at all"):
        median_exponent({1: [0, 0, 0], 2: [4, 5, 6]}, rng)


def _points(noise: float, rng: np.random.Generator) -> list[dict[str, float]]:
    points = []
    for side in (1, 3):
        for channels in (2, 4, 8):
            for repetition in range(4):
                shift = noise * rng.normal()
                for n in (256, 512, 1024):
                    error = 5.0 * (side**2 * channels / n) ** 2 * np.exp(shift + noise * rng.normal())
                    sizes = {"side": side, "channels": channels, "depth": 2, "repetition": repetition}
                    points.append(sizes | {"n": n, "error": float(error)})
    return points


def test_width_law_finds_an_exact_law() -> None:
    curve = ("side", "channels", "repetition")
    law = fit_width_law(
        _points(0.0, np.random.default_rng(0)), ("side", "channels", "depth"), curve, np.random.default_rng(0), 50
    )
    found = law.exponents()
    assert law.names == ("side", "channels")
    assert law.fixed == {"depth": 2}
    assert found["side"].value == pytest.approx(2.0)
    assert found["channels"].value == pytest.approx(1.0)
    assert found["1/error"].value == pytest.approx(0.5)
    assert found["width"].value == pytest.approx(-2.0)
    assert law.width_for(5e-4, {"side": 3, "channels": 64}).value == pytest.approx(9 * 64 * 100)


def test_width_law_intervals_cover() -> None:
    curve, covered = ("side", "channels", "repetition"), 0
    for seed in range(20):
        law = fit_width_law(
            _points(0.3, np.random.default_rng(seed)), ("side", "channels"), curve, np.random.default_rng(seed), 200
        )
        side = law.exponents()["side"]
        covered += side.low <= 2.0 <= side.high
        width = law.width_for(5e-4, {"side": 3, "channels": 64})
        assert width.low < width.value < width.high
    assert covered >= 15  # 95 % of 20 is 19; below 15 has probability 3e-4 at 95 %, and 24 curves make it a bit less


def test_width_law_refuses_too_few_curves() -> None:
    points = [p for p in _points(0.1, np.random.default_rng(0)) if p["side"] == 1 and p["channels"] == 2]
    with pytest.raises(InvalidInputError, match="curves"):
        fit_width_law(points[:3], ("side", "channels"), ("repetition",), np.random.default_rng(0))
