"""Plans of widths: what they promise on small networks, that they repeat, and how wishes are refused."""

from __future__ import annotations

import base64
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sslth
from sslth.cnn.ticket_file import read_metadata, sealed, ticket_bytes
from sslth.cnn.widths.frontier import ladder
from sslth.cnn.widths.width_law import bytes_of_gaps, tiled_error
from sslth.cnn.widths.wish import checked_wish
from sslth.errors import InvalidInputError, TicketFileError

# Written before widths could differ: extract(nn.Sequential(nn.Linear(2, 2)), x, 8, low=0.0, high=1.0)
_OLD_FILE = """
gAQAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJzc2x0aCI6IntcImNhcnJ5X292ZXJcIjpbXSxcImZpbmdlcnByaW50XCI6XCI1ODc5NWFiNmFjODRlMzdkNT
NiMDNiYzBiYjg1NjE4M2IzMGNmM2ZkNTNhNzNhMTMxNjYxM2QzNjAxZGFkMDZkXCIsXCJmb2xkc1wiOnt9LFwiZm9ybWF0XCI6XCJzc2x0aC10aWNrZXRc
IixcImdlbmVyYXRvclwiOjEsXCJoaWdoXCI6MS4wLFwiaW5wdXRfc2hhcGVcIjpbMl0sXCJsYXllcnNcIjpbe1wiYmlhc1wiOnRydWUsXCJjb25zdGFudH
NcIjoxNixcImRpbGF0aW9uXCI6WzEsMV0sXCJnYWluXCI6MC4xMzI4MTI1LFwiZ3JvdXBzXCI6MSxcImluX2NoYW5uZWxzXCI6MixcImluZGV4XCI6MCxc
Imtlcm5lbF9zaXplXCI6WzEsMV0sXCJraW5kXCI6XCJsaW5lYXJcIixcIm5hbWVcIjpcIjBcIixcIm5vbm5lZ2F0aXZlXCI6dHJ1ZSxcIm91dF9jaGFubm
Vsc1wiOjIsXCJvdXRwdXRfcGFkZGluZ1wiOltdLFwicGFkZGluZ1wiOlswLDBdLFwicGFkZGluZ19tb2RlXCI6XCJ6ZXJvc1wiLFwic3RyaWRlXCI6WzEs
MV0sXCJ3aWR0aFwiOjh9XSxcImxvd1wiOjAuMCxcIm5ldHdvcmtcIjpbW1wiMFwiLFwibGF5ZXJcIix7fV1dLFwic2VlZFwiOjAsXCJzZXR0aW5nc1wiOn
tcImNvbXBlbnNhdGlvblwiOntcImFkZGVkX2JpYXNcIjpbXSxcIm1hdGNoZWRcIjpcImNoYW5uZWwgbWVhbnNcIixcIm1hdGNoZWRfZXJyb3JcIjp7XCIw
XCI6MC4zNjh9LFwibWVhbnNcIjp7XCIwXCI6XCJ0aGUgaW5wdXQgYm94XCJ9LFwib3V0cHV0X2Vycm9yXCI6e1wiaW5wdXRzXCI6MixcIm9uXCI6XCJleG
FtcGxlX2lucHV0XCIsXCJ3aXRoXCI6MS42MixcIndpdGhvdXRcIjoxLjB9fSxcIm1heF9rZXB0XCI6bnVsbCxcInNvbHZlclwiOlwidGlsZWRfc2lnbnNc
In0sXCJzaGEyNTZcIjpcIjc0ODAyNzg2ZTcxMWJlNmM3YzVmNzVkN2M3NDIyZjdhMmNhNjVjMjMxMDc5NDUyZjgyZGVkNjZmNjQxOWQzYTRcIixcInNvdX
JjZVwiOlwibm9ybWFsXCIsXCJ2ZXJzaW9uXCI6MSxcIndpZHRoXCI6OH0ifSwibGF5ZXJzLjAuY291bnRzIjp7ImR0eXBlIjoiVTMyIiwic2hhcGUiOlsz
XSwiZGF0YV9vZmZzZXRzIjpbMCwxMl19LCJsYXllcnMuMC5rZXB0Ijp7ImR0eXBlIjoiVTgiLCJzaGFwZSI6WzldLCJkYXRhX29mZnNldHMiOlsxMiwyMV
19fSAgICAgICADAAAABAAAAAIAAAADAAEEAAMCBgI=
"""
EXAMPLE = torch.rand(32, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def small(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.ReLU(), nn.Linear(5, 3)
        ).eval()


def centred_error(ticket: sslth.Ticket, model: nn.Module, inputs: Tensor) -> float:
    """The wish's own definition, with nothing of ours but the ticket."""
    with torch.no_grad():
        y = model.double()(inputs.double())
        z = ticket.to_module(model, merged=True).double()(inputs.double())
    model.float()
    return float((z - y).norm() / (y - y.mean(dim=0)).norm())


def extracted(**wish: object) -> sslth.Ticket:
    return sslth.extract(small(), EXAMPLE, low=0.0, high=1.0, progress=False, **wish)


@pytest.mark.parametrize("wanted", [3e-2, 1e-3])
@pytest.mark.parametrize(
    "more",
    [{}, {"compensate": False}, {"calibration": torch.rand(64, 1, 6, 6, generator=torch.Generator().manual_seed(2))}],
    ids=["means", "weights", "data"],
)
def test_a_plan_for_an_error_is_near_what_is_reached(wanted: float, more: dict) -> None:
    ticket = extracted(target_error=wanted, **more)
    plan = ticket.settings["plan"]
    assert plan["asked"] == {"target_error": wanted}
    assert plan["on"] == "example_input"
    assert plan["inputs"] == 32
    assert wanted / 4 < plan["predicted"]["error"] <= wanted
    assert plan["reached"]["error"] == pytest.approx(centred_error(ticket, small(), EXAMPLE), rel=0.01)
    assert 1 / 4 < plan["reached"]["error"] / plan["predicted"]["error"] < 4
    assert len(set(ticket.widths.values())) > 1


def test_a_smaller_error_takes_more_width() -> None:
    rough, fine = extracted(target_error=1e-1), extracted(target_error=1e-4)
    assert all(rough.widths[name] < fine.widths[name] for name in rough.widths)
    assert fine.settings["plan"]["reached"]["error"] < rough.settings["plan"]["reached"]["error"] / 100


def test_two_runs_and_another_number_of_threads_give_identical_bytes() -> None:
    contents = {ticket_bytes(extracted(target_error=1e-2, jobs=jobs)) for jobs in (1, 1, 3)}
    assert len(contents) == 1


def test_bytes_stay_below_the_limit_and_are_used() -> None:
    for limit in (6000, "20kB"):
        ticket = extracted(max_bytes=limit)
        size, most = len(ticket_bytes(ticket)), 20000 if limit == "20kB" else limit
        assert 0.7 * most < size <= most
        assert ticket.settings["plan"]["predicted"]["bytes"] == pytest.approx(size, rel=0.1)
        assert "seconds" not in ticket.settings["plan"]["predicted"]


def test_what_was_chosen_for_a_time_is_found_again_from_the_widths() -> None:
    ticket = extracted(time_limit=20.0, width=2000)
    assert ticket.settings["plan"]["predicted"]["seconds"] <= 20.0
    assert max(ticket.widths.values()) <= 2000
    again = extracted(width=ticket.widths)
    assert "plan" not in again.settings
    for one, other in zip(ticket.layers, again.layers, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one.channels, other.channels, strict=True))
        assert all(np.array_equal(a, b) for a, b in zip(one.constants, other.constants, strict=True))


def test_few_filters_a_block_can_be_planned_too() -> None:
    ticket = extracted(target_error=0.3, max_kept=30)
    assert max(block.size for kept in ticket.layers for block in kept.channels) <= 60  # two signs a channel
    assert 1 / 5 < ticket.settings["plan"]["reached"]["error"] / ticket.settings["plan"]["predicted"]["error"] < 5


def test_a_single_input_is_replaced_by_inputs_from_the_box() -> None:
    ticket = sslth.extract(small(), EXAMPLE[:1], low=0.0, progress=False, target_error=0.1)
    assert ticket.settings["plan"]["on"] == "uniform inputs from the box"
    assert ticket.settings["plan"]["inputs"] == 64


def test_uneven_widths_survive_the_file_and_the_dense_network(tmp_path: Path) -> None:
    widths = {"0": 70, "3": 40, "5": 33}
    ticket = extracted(width=widths)
    assert ticket.widths == widths
    assert ticket.width == 70
    ticket.save(tmp_path / "t")
    again = sslth.Ticket.load(tmp_path / "t")
    assert again.widths == widths
    assert ticket_bytes(again) == ticket_bytes(ticket)
    assert [layer["width"] for layer in again.summary()["layers"]] == [70, 40, 33]
    dense = again.random_network()
    for name in widths:
        masks = again.masks(name)
        assert masks.keep.sum() == next(kept for kept in again.layers if kept.layer.name == name).kept
        dense.get_submodule(name).prune(masks.blocked, masks.keep)
    with torch.no_grad():
        assert torch.allclose(dense(EXAMPLE), again.to_module()(EXAMPLE), rtol=1e-4, atol=1e-5)
        assert torch.allclose(again.to_module(merged=True)(EXAMPLE), again.to_module()(EXAMPLE), rtol=1e-4, atol=1e-5)


def test_files_from_before_widths_could_differ_are_read_and_still_written(tmp_path: Path) -> None:
    content = base64.b64decode(_OLD_FILE)
    (tmp_path / "t").write_bytes(content)
    old = sslth.Ticket.load(tmp_path / "t")
    assert old.widths == {"0": 8}
    assert read_metadata(content)["version"] == 1
    model = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        model[0].bias.copy_(torch.tensor([0.25, -1.0]))
    x = torch.tensor([[0.0, 1.0], [1.0, 0.5]])
    assert ticket_bytes(old) == content
    new = sslth.extract(model, x, 8, low=0.0, high=1.0, progress=False)
    assert old.summary() == new.summary() | {"settings": old.settings}
    uneven = extracted(width={"0": 70, "3": 40, "5": 33})
    assert read_metadata(ticket_bytes(uneven))["version"] == 2


def test_the_version_that_allows_uneven_widths_is_for_nothing_else(tmp_path: Path) -> None:
    content = ticket_bytes(extracted(width={"0": 70, "3": 40, "5": 33}))
    for old, new in ((b'\\"version\\":2', b'\\"version\\":1'), (b'\\"width\\":70', b'\\"width\\":71')):
        before, found, after = content.rpartition(old)  # the metadata's own width comes last
        assert found
        (tmp_path / "t").write_bytes(resealed(before + new + after))
        with pytest.raises(TicketFileError, match="width"):
            sslth.Ticket.load(tmp_path / "t")


def resealed(content: bytes) -> bytes:
    stored = read_metadata(content)["sha256"]
    return sealed(content.replace(stored.encode(), b"0" * 64, 1))


def test_a_narrow_layer_is_the_beginning_of_a_wide_one() -> None:
    narrow, wide = extracted(width={"0": 70, "3": 40, "5": 33}), extracted(width=70)
    first = narrow.layers[1].blocks(0)[0][0].scales()
    assert np.array_equal(first, wide.layers[1].blocks(0)[0][0].scales()[:80])
    assert (
        narrow.layers[0].channels[0].numbers().tolist() == wide.layers[0].channels[0].numbers().tolist()
    )  # the same width


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_error": 0}, "positive"),
        ({"target_error": -1.0}, "at least 0"),
        ({"target_error": math.nan}, "at least 0"),
        ({"target_error": math.inf}, "positive"),
        ({"target_error": "small"}, "number"),
        ({"target_error": 1e-30}, "widest plan"),
        ({"target_error": 1e-3, "width": 20}, "widest plan"),
        ({"time_limit": 0}, "positive"),
        ({"time_limit": 1e-3}, "narrowest plan"),
        ({"max_bytes": 10}, "narrowest plan"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"max_bytes": "many"}, "max_bytes"),
        ({"max_bytes": 5000, "target_error": 1e-5}, "max_bytes is 5000"),
        ({"target_error": 0.1, "width": {"0": 4}}, "width says"),
        ({"width": {"0": 4}}, "no entry for the layer '3'"),
        ({"width": {"0": 4, "3": 4, "5": 4, "9": 4}}, "'9'"),
        ({"width": {"0": 4, "3": 0, "5": 4}}, "the width of 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_impossible_wishes(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        extracted(**arguments)
    assert "\n" not in str(caught.value)


def test_a_network_of_ones_own_says_how_wide_it_is() -> None:
    pair = (torch.randn(24, 4), torch.randn(3, 24))
    with pytest.raises(InvalidInputError, match="how wide it is"):
        sslth.extract(nn.Linear(4, 3), torch.rand(4, 4), source={"": pair}, target_error=0.1, progress=False)


def test_constant_outputs_have_no_relative_error() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    with pytest.raises(InvalidInputError, match="do not differ"):
        sslth.extract(model, torch.rand(8, 4), target_error=0.1, progress=False)


def test_the_plan_is_told_before_the_search() -> None:
    stages: list[str] = []
    sslth.extract(
        small(), EXAMPLE, target_error=0.1, low=0.0, progress=lambda _done, _total, stage: stages.append(stage)
    )
    told = next(place for place, stage in enumerate(stages) if stage.startswith("plan: widths"))
    assert "searching blocks" not in stages[:told]
    assert "searching blocks" in stages[told:]


def test_laws() -> None:
    for d in (1, 4, 16, 64, 3000):
        errors = [tiled_error(ratio * d, d) for ratio in (0.5, 1, 3, 10, 100, 10**3, 10**4)]
        assert all(a >= b for a, b in itertools.pairwise(errors))
        assert errors[-1] == pytest.approx(errors[-2] / 100)
    rng = np.random.default_rng(0)
    from sslth.cnn.index_codec import packed

    for kept, filters in ((400, 1000), (300, 20_000), (100, 10**6)):
        chosen = np.sort(rng.choice(filters, kept, replace=False)).astype(np.uint32)
        assert bytes_of_gaps(kept, filters) == pytest.approx(len(b"".join(packed([chosen]))), rel=0.05)
    assert bytes_of_gaps(0, 10) == 0.0


def test_ladders_end_at_what_is_allowed() -> None:
    assert ladder(3) == [3]
    assert ladder(16) == [16]
    assert ladder(1 << 12)[-1] == 1 << 12
    assert len(ladder(1 << 20)) == 1 + 4 * 16
    assert checked_wish(None).asked == {}


def test_few_filters_without_a_width_are_planned_and_with_one_are_not() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval(), torch.rand(20, 4)
    planned = sslth.extract(model, x, max_kept=8, progress=False, low=0.0)
    plan = planned.settings["plan"]
    assert plan["asked"] == {"max_kept": 8, "width": 4096}
    assert plan["predicted"]["error"] > 0
    assert plan["reached"]["error"] > 0
    plain = sslth.extract(model, x, planned.widths, max_kept=8, progress=False, low=0.0)
    assert "plan" not in plain.settings
    assert all(
        np.array_equal(a, b)
        for one, other in zip(planned.layers, plain.layers, strict=True)
        for a, b in zip(one.channels, other.channels, strict=True)
    )
