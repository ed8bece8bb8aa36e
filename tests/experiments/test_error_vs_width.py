"""Error against width: cells, their names, and the fitted power law."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from sslth.errors import InvalidInputError
from sslth.experiments.error_vs_width import array_fingerprint, error_vs_width, model_fingerprint, points_of
from sslth.experiments.power_law import fit_power_law
from sslth.experiments.store import Store


@dataclass
class StubTicket:
    width: int
    seed: int

    kept_filters: int = 7
    total_filters: int = 16

    def to_module(self, model, merged=False):
        assert merged
        module = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter *= 1 + (1 + self.seed) / self.width
        return module


class StubExtract:
    def __init__(self):
        self.calls = []

    def __call__(self, model, example_input, *, width, seed, low, high, progress):
        assert progress is False
        self.calls.append((width, seed, low, high))
        if width == 3:
            raise ValueError("three is too few")
        return StubTicket(width, seed)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3, bias=False))


@pytest.fixture
def inputs():
    return torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_errors_are_relative_and_in_float64(network, inputs):
    before = copy.deepcopy(network.state_dict())
    extract = StubExtract()
    with Store(":memory:") as store:
        points = error_vs_width(
            network, inputs[:1], inputs, widths=(4, 8), seeds=range(2), low=0.0, high=1.0, store=store, extract=extract
        )
    assert [(point.width, point.seed) for point in points] == [(4, 0), (4, 1), (8, 0), (8, 1)]
    for point in points:
        factor = 1 + (1 + point.seed) / point.width
        assert point.relative_output_error == pytest.approx(factor**2 - 1, rel=1e-6)
        assert (point.kept_filters, point.total_filters) == (7, 16)
    assert extract.calls == [(4, 0, 0.0, 1.0), (4, 1, 0.0, 1.0), (8, 0, 0.0, 1.0), (8, 1, 0.0, 1.0)]
    assert all(value.dtype == torch.float32 for value in network.state_dict().values())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_cells_are_named_by_target_inputs_box_width_and_seed(network, inputs):
    extract = StubExtract()

    def run(model=network, data=inputs, low=0.0, widths=(4,), seeds=(0,)):
        return error_vs_width(
            model, data[:1], data, widths=widths, seeds=seeds, low=low, high=1.0, store=store, extract=extract
        )

    with Store(":memory:") as store:
        run()
        run()
        assert len(extract.calls) == 1
        other = copy.deepcopy(network)
        with torch.no_grad():
            other[0].weight[0, 0, 0, 0] += 1e-6
        sigmoid = copy.deepcopy(network)
        sigmoid[1] = nn.Sigmoid()
        for change in (
            {"model": other},
            {"model": sigmoid},
            {"data": inputs + 1e-6},
            {"low": -1.0},
            {"low": np.zeros((1, 4, 4))},
            {"widths": (5,)},
            {"seeds": (1,)},
        ):
            before = len(extract.calls)
            run(**change)
            assert len(extract.calls) == before + 1, change
        assert len({point.series for point in points_of(store.rows())}) == 6
        assert run(low=0) == run(low=torch.tensor(0.0))


def test_failed_cells_are_left_out_and_stored(network, inputs):
    with Store(":memory:") as store:
        points = error_vs_width(
            network, inputs[:1], inputs, widths=(3, 4), seeds=(0,), low=0, high=1, store=store, extract=StubExtract()
        )
        assert [point.width for point in points] == [4]
        assert sorted(str(row.error) for row in store.rows()) == ["None", "ValueError: three is too few"]


def test_an_infinite_error_is_a_point_without_error(network, inputs):
    class Broken(StubTicket):
        def to_module(self, model, merged=False):
            module = copy.deepcopy(model)
            module[3].weight.data.fill_(torch.inf)
            return module

    with Store(":memory:") as store:
        (point,) = error_vs_width(
            network, inputs[:1], inputs, widths=(4,), seeds=(0,), low=0, high=1, store=store,
            extract=lambda *_, **__: Broken(4, 0),
        )  # fmt: skip
        (row,) = store.rows()
    assert point.relative_output_error is None
    assert row.result["relative_output_error_reason"].startswith("not finite: ")


def test_bad_input_is_one_sentence(network, inputs):
    with Store(":memory:") as store:
        for widths, seeds, data in (((), (0,), inputs), ((4,), (), inputs), ((4,), (0,), inputs[:0])):
            with pytest.raises(InvalidInputError, match="at least one"):
                error_vs_width(network, inputs[:1], data, widths=widths, seeds=seeds, low=0, high=1, store=store)
        nn.init.zeros_(network[3].weight)
        with pytest.raises(InvalidInputError, match="not all 0"):
            error_vs_width(network, inputs[:1], inputs, low=0, high=1, store=store, extract=StubExtract())
        assert store.rows() == []


def test_the_real_extraction_gets_better_with_width(network, inputs):
    with Store(":memory:") as store:
        points = error_vs_width(
            network, inputs[:1], inputs, widths=(32, 2048), seeds=(0, 1), low=0.0, high=1.0, store=store
        )
    errors = {width: [p.relative_output_error for p in points if p.width == width] for width in (32, 2048)}
    assert len(points) == 4
    assert max(errors[2048]) < 0.01 < 0.5 * min(errors[32])


def test_fingerprints_see_values_shapes_and_types():
    values = np.arange(6.0)
    prints = {
        array_fingerprint(array)
        for array in (
            values,
            values.reshape(2, 3),
            values.astype(np.float32),
            -values,
            values[::-1],
            values.view(np.int64),
        )
    }
    assert len(prints) == 6
    assert array_fingerprint(values.reshape(2, 3)) == array_fingerprint(np.asfortranarray(values.reshape(2, 3)))
    assert array_fingerprint(values.astype(">f8")) == array_fingerprint(values)
    assert model_fingerprint(nn.Linear(2, 2)) != model_fingerprint(nn.Linear(2, 2))


def test_an_exact_power_law_is_found_exactly():
    widths = np.repeat([64, 128, 256, 512], 3)
    law = fit_power_law(widths, 100.0 * widths**-2.5, saturated=np.inf)
    assert law.slope == pytest.approx(-2.5, abs=1e-12)
    assert law.slope_interval == pytest.approx((-2.5, -2.5), abs=1e-9)
    np.testing.assert_allclose(law.error_at([100.0]), [100.0 * 100.0**-2.5])
    assert (law.smallest_width, law.largest_width, law.points) == (64, 512, 12)


def test_the_interval_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    widths = np.repeat([64, 128, 256, 512], 5)
    errors = 0.05 * (widths / 64) ** -1.7 * np.exp(0.3 * rng.standard_normal(20))
    law, line = fit_power_law(widths, errors), stats.linregress(np.log(widths), np.log(errors))
    half = stats.t.ppf(0.975, 18) * line.stderr
    assert (law.slope, law.intercept) == pytest.approx((line.slope, line.intercept))
    assert law.slope_interval == pytest.approx((line.slope - half, line.slope + half))


def test_the_interval_covers_the_slope_as_often_as_it_says():
    rng = np.random.default_rng(1)
    widths = np.repeat([64, 128, 256, 512], 5)
    covered = 0
    for _ in range(1000):
        low, high = fit_power_law(widths, widths**-2.0 * np.exp(0.5 * rng.standard_normal(20))).slope_interval
        covered += low <= -2.0 <= high
    assert 0.925 <= covered / 1000 <= 0.975  # 0.95 within 3.6 standard deviations


def test_saturated_widths_are_left_out_unless_too_few_are_left():
    widths = np.array([64, 128, 256, 512, 1024])
    errors = np.array([0.95, 0.7, 0.08, 0.02, 0.005])
    law = fit_power_law(widths, errors)
    assert (law.smallest_width, law.points) == (256, 3)
    assert law.slope == pytest.approx(-2.0)
    assert fit_power_law(widths[:4], errors[:4]).points == 4


@pytest.mark.parametrize(
    ("widths", "errors"),
    [([64, 128], [0.1, 0.2]), ([64] * 5, [0.1] * 5), ([64, 128, 256], [0.1, 0.0, 0.1]),
     ([64, 128, 256], [0.1, np.nan, 0.1]), ([64, 128, 256], [0.1, 0.2]), ([], [])],
)  # fmt: skip
def test_what_cannot_be_fitted_is_refused(widths, errors):
    with pytest.raises(InvalidInputError, match=r"^[^\n]+$"):
        fit_power_law(widths, errors)
