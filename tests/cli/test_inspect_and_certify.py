"""`sslth inspect` and `sslth certify`: what they say of files, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import sslth
from sslth.cli.main import main

ARCH = "handed_arch"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A target on disk, the file that builds it, and tickets of it: by the seed, and of a random network on disk."""
    folder = tmp_path_factory.mktemp("handed")
    (folder / f"{ARCH}.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))\n"
        "class Odd(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x if float(x.detach().sum()) > 0 else -x)\n"
        "def odd():\n"
        "    return Odd(*build())\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        import handed_arch

        torch.manual_seed(0)
        model = handed_arch.build().eval()
        save_file(model.state_dict(), folder / "target.safetensors")
        torch.save(model.state_dict(), folder / "target.pt")
        other = {name: values + 0.5 if "weight" in name else values for name, values in model.state_dict().items()}
        save_file(other, folder / "other.safetensors")
        x = torch.rand(2, 1, 4, 4)
        sslth.extract(model, x, width=32, low=0.0, solver="sorted_pursuit", progress=False).save(
            folder / "ticket.safetensors"
        )
        odd = handed_arch.odd().eval()
        odd.load_state_dict(model.state_dict())
        sslth.extract(odd, x, width=32, low=0.0, solver="sorted_pursuit", progress=False).save(
            folder / "odd.safetensors"
        )
        pairs = {
            "0.v": torch.randn(16, 1), "0.u": torch.randn(3, 16, 3, 3),
            "4.v": torch.randn(12 * 8, 12), "4.u": torch.randn(2, 12 * 8),
        }  # fmt: skip
        save_file(pairs, folder / "random.safetensors")
        source = {"0": (pairs["0.v"], pairs["0.u"]), "4": (pairs["4.v"], pairs["4.u"])}
        sslth.extract(model, x, source=source, solver="sorted_pursuit", progress=False).save(folder / "own.safetensors")
        yield folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    found: dict = json.loads(capsys.readouterr().out)
    return found


BUILD = ("--arch", f"{ARCH}:build")


def test_inspect_says_what_the_file_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ticket = sslth.Ticket.load("ticket.safetensors")
    found = run(capsys, "inspect", "ticket.safetensors")
    for key, value in json.loads(json.dumps(ticket.summary())).items():
        if key != "layers":
            assert found[key] == value
    assert found["file_bytes"] == (folder / "ticket.safetensors").stat().st_size
    assert (found["low"], found["high"]) == ([0.0, 0.0], [1.0, 1.0])
    assert found["folded"] == {"1": "0"}
    module = ticket.to_module()
    stored = ("scales", "kernels")
    numbers = sum(values.numel() for name, values in module.named_buffers() if name.rpartition(".")[2] in stored)
    for kept in ticket.layers:
        size = kept.layer.wiring.outputs_per_group
        numbers += sum(block.size for block in kept.constants) * (1 + size)
    assert found["pruned_parameters"] == numbers
    assert found["target_parameters"] == 3 * 9 + 3 + 12 * 2 + 2
    sizes = load_file("ticket.safetensors")
    for number, layer in enumerate(found["layers"]):
        tensors = sizes[f"layers.{number}.kept"], sizes[f"layers.{number}.counts"]
        assert layer["index_bytes"] == sum(values.nbytes for values in tensors)
        assert layer["kept_share"] == layer["kept"] / layer["total"]
        assert "kernel_error" not in layer


def test_inspect_beside_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("--model", "target.safetensors", *BUILD)
    found = run(capsys, "inspect", "ticket.safetensors", *model)
    proved = run(capsys, "certify", "ticket.safetensors", "target.pt", *BUILD)
    assert found["same_target"] is True
    assert {layer["name"]: layer["kernel_error"] for layer in found["layers"]} == proved["kernel_error"]
    for layer in found["layers"]:  # as it was found, in three digits: the kernels of this ticket are the model's
        assert layer["matched_error"] == pytest.approx(layer["kernel_error"], rel=0.01)
    assert main(["inspect", "ticket.safetensors", "--model", "other.safetensors", *BUILD]) == 0
    table = capsys.readouterr().out
    assert "NOT the ticket's target" in table
    assert all(layer["name"] in table for layer in found["layers"])


def test_inspect_a_ticket_of_somebody_s_own_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "own.safetensors"]) == 0
    table = capsys.readouterr().out
    assert "the reader's own" in table
    assert "as they were found, against what they were aimed at" in table
    source = ("--source", "random.safetensors")
    found = run(capsys, "inspect", "own.safetensors", "--model", "target.pt", *BUILD, *source)
    assert all(layer["kernel_error"] > 0 for layer in found["layers"])
    assert main(["certify", "own.safetensors", "target.pt", *BUILD]) == 2
    assert "pass it as source=" in capsys.readouterr().err
    assert run(capsys, "certify", "own.safetensors", "target.pt", *BUILD, *source)["upper"] > 0


def test_certify_is_the_certificate(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import handed_arch

    model: nn.Module = handed_arch.build()
    model.load_state_dict(load_file("target.safetensors"))
    np.save(tmp_path / "low.npy", np.full((1, 4, 4), 0.25))
    box = ("--low", str(tmp_path / "low.npy"), "--high", "0.5")
    found = run(capsys, "certify", "ticket.safetensors", "target.pt", *BUILD, *box, "--out", str(tmp_path / "out"))
    ticket = sslth.Ticket.load("ticket.safetensors")
    report = sslth.certify(ticket, model.eval(), low=0.25, high=0.5)
    assert (found["upper"], found["lower"]) == (report.upper, report.lower)
    assert found["upper_per_output"] == [report.upper_per_output.tolist()]  # type: ignore[union-attr]
    assert (found["low"], found["high"], found["same_target"]) == ([0.25, 0.25], [0.5, 0.5], True)
    assert json.loads((tmp_path / "out" / "certificate.json").read_text()) == found
    witness = np.load(tmp_path / "out" / "witness.npy")
    assert np.array_equal(witness, report.witness)
    with torch.no_grad():
        at = torch.from_numpy(witness)[None]
        apart = (model.double()(at) - ticket.to_module(model.double(), merged=True)(at)).abs().max()
    assert float(apart) == pytest.approx(found["lower"], rel=1e-6)
    wider = run(capsys, "certify", "ticket.safetensors", "other.safetensors", *BUILD)
    assert wider["same_target"] is False
    assert wider["lower"] > found["lower"]


def test_certify_without_a_proof_is_status_1(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["certify", "odd.safetensors", "target.pt", "--arch", f"{ARCH}:odd"]
    assert main([*arguments, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["upper"] is None
    assert found["upper_reason"]
    assert found["lower"] > 0
    assert main([*arguments, "--quiet", "--export-vnnlib", "claims"]) == 2
    assert "no bound to export" in capsys.readouterr().err


def test_certify_exports_the_claim(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name)
    arguments = ["certify", "ticket.safetensors", "target.pt", *BUILD, "--export-vnnlib", str(tmp_path / "claim")]
    assert main(arguments) == 0
    assert "property.vnnlib" in capsys.readouterr().out
    names = {"target.onnx", "ticket.onnx", "difference.onnx", "property.vnnlib"}
    assert {path.name for path in (tmp_path / "claim").iterdir()} == names
    assert main([*arguments, "--low", "0.1"]) == 2


def test_bad_input_is_one_line_and_status_2(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = bytearray((folder / "ticket.safetensors").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "flipped").write_bytes(content)
    (tmp_path / "file").write_text("in the way")
    save_file({"0.v": torch.randn(16, 1)}, tmp_path / "half.safetensors")
    certify = ["certify", "ticket.safetensors", "target.pt", *BUILD]
    for arguments in (
        ["inspect", "nothing"],
        ["inspect", "target.safetensors"],
        ["inspect", str(tmp_path / "flipped")],
        ["inspect", "ticket.safetensors", "--model", "target.pt"],
        ["inspect", "ticket.safetensors", "--model", "target.pt", "--arch", "torch.nn:Identity"],
        ["inspect", "own.safetensors", "--model", "target.pt", *BUILD],
        ["inspect", "own.safetensors", "--source", str(tmp_path / "half.safetensors")],
        ["certify", str(tmp_path / "flipped"), "target.pt", *BUILD],
        ["certify", "ticket.safetensors", "nothing.pt", *BUILD],
        ["certify", "ticket.safetensors", "target.pt"],
        [*certify, "--low", "x"],
        [*certify, "--low", "2"],
        [*certify, "--low", "-1"],
        [*certify, "--high", "nothing.npy"],
        [*certify, "--device", "abacus"],
        [*certify, "--out", str(tmp_path / "file")],
    ):
        assert main([*arguments]) == 2, arguments
        err = capsys.readouterr().err
        assert err.startswith("sslth: "), (arguments, err)
        assert err.count("\n") == 1, (arguments, err)


def test_certify_says_what_inputs_say(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import handed_arch

    model: nn.Module = handed_arch.build()
    model.load_state_dict(load_file("target.safetensors"))
    rows = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "rows.npy", rows.numpy())
    given = ("--data", str(tmp_path / "rows.npy"), "--confidence", "0.99")
    found = run(capsys, "certify", "ticket.safetensors", "target.pt", *BUILD, *given)
    ticket = sslth.Ticket.load("ticket.safetensors")
    expected = sslth.data_certificate(ticket, model.eval(), rows, 0.99)
    assert found["data"]["sentence"] == expected.sentence()
    assert found["data"]["share_above"] == expected.share_above
    assert found["data"]["error"] == expected.error <= found["lower"] * (1 + 1e-9)
    assert main(["certify", "ticket.safetensors", "target.pt", *BUILD, *given]) == 0
    assert "with confidence 99 %, at most" in capsys.readouterr().out
    assert run(capsys, "certify", "ticket.safetensors", "target.pt", *BUILD)["data"] is None
    assert main(["certify", "ticket.safetensors", "target.pt", *BUILD, *given[:3], "2"]) == 2
    assert "confidence is 2.0; it must lie strictly between 0 and 1" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", rows.numpy()[:, :, :3])
    assert main(["certify", "ticket.safetensors", "target.pt", *BUILD, *given]) == 2
    assert "inputs of shape" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", 2 + rows.numpy())
    assert main(["certify", "ticket.safetensors", "target.pt", *BUILD, *given]) == 2
    assert "box" in capsys.readouterr().err
