"""`sslth extract` and `sslth plot`: what they leave behind, and how they fail."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sslth
from sslth.cli.main import main
from sslth.cnn import torch_search
from sslth.cnn.block_store import BlockStore
from sslth.errors import DeviceLostError
from sslth.networks.small_cnn import small_cnn

ARCH = ["--arch", "sslth.networks:small_cnn", "--input-shape", "1,8,8", "--low", "0"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = small_cnn().state_dict()
    save_file(state, folder / "target.safetensors")
    torch.save(state, folder / "target.pt")
    torch.save({"state_dict": state}, folder / "wrapped.pt")
    return folder


def run(weights: Path, out: Path, *more: str, file: str = "target.safetensors") -> int:
    return main(["extract", str(weights / file), *ARCH, "--out", str(out), "--width", "64", *more])


def test_everything_is_in_one_folder(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(weights, tmp_path / "out", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    pictures = {"layer_errors.png", "kept_filters.png", "kernels.png"}
    assert names == {"target.safetensors", "ticket.safetensors", "summary.json", "report.html", *pictures}
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert stored == printed
    assert stored["target_accuracy"] is None
    assert "random inputs" in stored["evaluated_on"]
    assert stored["certified_upper"] >= stored["attained_lower"] >= stored["max_output_error"] > 0
    ticket = sslth.Ticket.load(tmp_path / "out" / "ticket.safetensors")
    assert ticket.kept_filters == stored["kept_filters"]
    assert (tmp_path / "out" / "ticket.safetensors").stat().st_size == stored["ticket_bytes"]
    original, copied = load_file(weights / "target.safetensors"), load_file(tmp_path / "out" / "target.safetensors")
    assert all(torch.equal(original[name], copied[name]) for name in original)


def test_two_runs_give_the_same_ticket_from_every_kind_of_file(weights: Path, tmp_path: Path) -> None:
    for number, file in enumerate(("target.safetensors", "target.pt", "wrapped.pt")):
        assert run(weights, tmp_path / str(number), "--quiet", file=file) == 0
    contents = {(tmp_path / str(n) / "ticket.safetensors").read_bytes() for n in range(3)}
    assert len(contents) == 1


def test_a_device_that_fails_is_status_1_and_one_line(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished blocks are kept, and the same command goes on."""

    def gone(*_: object, **__: object) -> object:
        raise DeviceLostError("the device cuda failed; finished blocks are kept, so give the same command again")

    with monkeypatch.context() as patch:
        patch.setattr("sslth.cnn.plan.search", gone)
        assert run(weights, tmp_path / "out", "--quiet") == 1
    err = capsys.readouterr().err
    assert err.startswith("sslth: the device cuda failed")
    assert err.count("\n") == 1
    assert (tmp_path / "out" / "blocks.db").is_file()
    assert run(weights, tmp_path / "out", "--quiet") == 0


def test_one_of_two_gpus_that_fails_is_status_1(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GPUs that are not there: one decides its blocks on the CPU and keeps them, the other one fails at once."""
    usual = torch_search._decide

    def decide(streams: list[torch_search.Stream], tiles: list[object], where: torch.device) -> object:
        if where.index == 1:
            raise torch.AcceleratorError("CUDA error: device lost")
        return usual(streams, tiles, torch.device("cpu"))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "device_count", lambda: 2)
        patch.setattr(torch.cuda, "mem_get_info", lambda _where: (2**30, 2**30))
        patch.setattr(torch_search, "_decide", decide)
        patch.setattr("sslth.cnn.prepared.resolve_device", lambda _name: torch.device("cpu"))
        assert run(weights, tmp_path / "out", "--quiet", "--device", "cuda", "--width", "512") == 1
    err = capsys.readouterr().err
    assert err.startswith("sslth: the device cuda:1 failed (CUDA error: device lost)")
    assert "give the same command again" in err
    assert err.count("\n") == 1
    with BlockStore(tmp_path / "out" / "blocks.db") as store:
        assert len(store) > 0


def test_a_width_may_be_written_as_a_power_of_ten(weights: Path, tmp_path: Path) -> None:
    """1e2 is 100, and the last one of two --width counts."""
    assert run(weights, tmp_path / "power", "--quiet", "--width", "1e2") == 0
    assert sslth.Ticket.load(tmp_path / "power" / "ticket.safetensors").width == 100


def test_data_and_labels_give_accuracies(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.random((30, 1, 8, 8)))
    np.save(tmp_path / "y.npy", rng.integers(0, 10, 30))
    data = ["--data", str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.npy")]
    assert run(weights, tmp_path / "out", *data) == 0
    printed = capsys.readouterr().out
    assert "accuracy, ticket" in printed
    assert "report.html" in printed
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert 0 <= summary["ticket_accuracy"] <= 1
    assert summary["evaluated_on"] == "30 inputs from x.npy"


def test_shared_modules_and_float64_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_arch.py").write_text(
        "import torch\n"
        "def shared():\n"
        "    layer = torch.nn.Linear(4, 4)\n"
        "    return torch.nn.Sequential(layer, torch.nn.ReLU(), layer)\n"
        "def double():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(4, 3)).double()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import my_arch

    for name in ("shared", "double"):
        torch.save(getattr(my_arch, name)().state_dict(), tmp_path / f"{name}.pt")
        arguments = ["extract", f"{name}.pt", "--arch", f"my_arch:{name}", "--input-shape", "4", "--width", "64"]
        assert main([*arguments, "--out", name, "--quiet"]) == 0


@pytest.mark.parametrize("form", ["nets.py:build", "./deep/nets.py:build", "absolute"])
def test_a_network_may_come_from_a_file(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file imports its neighbour, and a module of its name that is there already is left alone."""
    folder = tmp_path / "deep" if "deep" in form else tmp_path
    folder.mkdir(exist_ok=True)
    neighbour = f"sizes_of_{len(form)}"
    (folder / f"{neighbour}.py").write_text("SIZE = 4\n")
    (folder / "nets.py").write_text(
        f"import torch\nfrom {neighbour} import SIZE\ndef build():\n    return torch.nn.Linear(SIZE, 3)\n"
    )
    torch.save(torch.nn.Linear(4, 3).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path.copy())
    before = sys.modules.get("nets")
    arch = f"{folder / 'nets.py'}:build" if form == "absolute" else form
    try:
        arguments = ["extract", "w.pt", "--arch", arch, "--input-shape", "4", "--width", "64", "--out", "t", "--quiet"]
        assert main(arguments) == 0
    finally:
        for name in ("nets", "_sslth_nets"):
            if name not in sys.modules or before is not sys.modules[name]:
                sys.modules.pop(name, None)
    assert (tmp_path / "t" / "ticket.safetensors").is_file()


@pytest.mark.parametrize(("name", "shape"), [("line", "2,12"), ("volume", "2,4,4,4"), ("up", "2,5")])
def test_windows_of_one_and_three_axes_are_drawn_too(
    name: str, shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The convolution has the largest kernel error by far, so that it is the one whose filters are shown."""
    (tmp_path / "windowed.py").write_text(
        "from torch import nn\n"
        "def line():\n"
        "    return nn.Sequential(nn.Conv1d(2, 4, 5, padding=2), nn.PReLU(4))\n"
        "def volume():\n"
        "    return nn.Sequential(nn.Conv3d(2, 3, 2), nn.ReLU())\n"
        "def up():\n"
        "    return nn.Sequential(nn.ConvTranspose1d(2, 4, 3, stride=2), nn.ReLU())\n"
    )
    monkeypatch.chdir(tmp_path)
    torch.save(getattr(build_from(tmp_path / "windowed.py"), name)().state_dict(), "weights.pt")
    arguments = ["extract", "weights.pt", "--arch", f"windowed.py:{name}", "--input-shape", shape, "--width", "32"]
    assert main([*arguments, "--out", "out", "--quiet"]) == 0
    assert {"kept_filters.png", "kernels.png"} <= {path.name for path in Path("out").iterdir()}
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["agreement"] is None  # a map of numbers has no class
    assert summary["stays"] == (["1.weight"] if name == "line" else [])
    assert ("(slopes of activations, buffers): 1.weight." in Path("out/report.html").read_text()) is (name == "line")


def test_a_pruned_target_may_be_refitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel of zeros has no relative error: refitted on inputs that go together, the ticket's is not zero."""
    (tmp_path / "thinned.py").write_text(
        "import torch\n"
        "def build():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    network = build_from(tmp_path / "thinned.py").build()  # type: ignore[attr-defined]
    with torch.no_grad():
        network[2].weight[:, 1] = 0
    torch.save(network.state_dict(), "weights.pt")
    rng = np.random.default_rng(0)
    np.save("x.npy", (rng.random((200, 1)) + 0.1 * rng.random((200, 6))) / 1.1)
    arguments = ["--arch", "thinned.py:build", "--input-shape", "6", "--low", "0", "--width", "64", "--out", "out"]
    assert main(["extract", "weights.pt", *arguments, "--calibration", "x.npy", "--quiet"]) == 0
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["kernel_error"]["2"] is None
    assert summary["kernel_error"]["0"] > 0
    ticket = ["out/ticket.safetensors", "weights.pt", "--arch", "thinned.py:build"]
    assert main(["certify", *ticket, "--out", "proof"]) == 0
    assert json.loads(Path("proof/certificate.json").read_text())["kernel_error"]["2"] is None


def build_from(path: Path) -> object:
    """The module in a file, without a place among the others."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plot_draws_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sslth.experiments.error_vs_width import error_vs_width
    from sslth.experiments.store import Store

    torch.manual_seed(0)
    model, x = small_cnn().eval(), torch.rand(4, 1, 8, 8)
    with Store(tmp_path / "e.db") as store:
        error_vs_width(model, x[:1], x, widths=(16, 64, 256, 1024), seeds=range(2), low=0.0, high=1.0, store=store)
    for suffix, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
        picture = tmp_path / f"p.{suffix}"
        assert main(["plot", "error-vs-width", str(tmp_path / "e.db"), "--out", str(picture), "--quiet"]) == 0
        assert picture.read_bytes().startswith(start)
    assert main(["plot", "error-vs-width", str(tmp_path / "e.db"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["points"]) == 8
    assert main(["plot", "error-vs-width", str(tmp_path / "missing.db")]) == 2
    assert main(["plot", "nonsense", str(tmp_path / "e.db")]) == 2
    (tmp_path / "corrupt.db").write_bytes(b"nonsense" * 200)
    assert main(["plot", "error-vs-width", str(tmp_path / "corrupt.db")]) == 2
    assert (tmp_path / "corrupt.db").read_bytes() == b"nonsense" * 200


def bad(tmp_path: Path, weights: Path) -> dict[str, list[str]]:
    good, out = str(weights / "target.safetensors"), str(tmp_path / "out")
    (tmp_path / "truncated.safetensors").write_bytes((weights / "target.safetensors").read_bytes()[:200])
    (tmp_path / "code.pt").write_bytes(b"\x80\x04c__builtin__\neval\n.")
    (tmp_path / "file").write_text("in the way")
    np.save(tmp_path / "x.npy", np.zeros((3, 1, 9, 9)))
    np.save(tmp_path / "nan.npy", np.full((3, 1, 8, 8), np.nan))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "outside.npy", np.full((3, 1, 8, 8), 7.0))
    return {
        "no file": ["extract", str(tmp_path / "no.safetensors"), *ARCH, "--out", out],
        "truncated": ["extract", str(tmp_path / "truncated.safetensors"), *ARCH, "--out", out],
        "pickled code": ["extract", str(tmp_path / "code.pt"), *ARCH, "--out", out],
        "no arch": ["extract", good, "--input-shape", "1,8,8", "--out", out],
        "bad arch": ["extract", good, "--arch", "sslth", "--input-shape", "1,8,8", "--out", out],
        "missing arch": ["extract", good, "--arch", "sslth:nothing", "--input-shape", "1,8,8", "--out", out],
        "missing file": ["extract", good, "--arch", "no_such.py:thing", "--input-shape", "1,8,8", "--out", out],
        "missing module": ["extract", good, "--arch", "no_such:thing", "--input-shape", "1,8,8", "--out", out],
        "other arch": ["extract", good, "--arch", "torch.nn:Identity", "--input-shape", "1,8,8", "--out", out],
        "shape": ["extract", good, *ARCH[:2], "--input-shape", "1,x", "--out", out],
        "wrong shape": ["extract", good, *ARCH[:2], "--input-shape", "3,8,8", "--out", out],
        "box of letters": ["extract", good, *ARCH, "--out", out, "--high", "abc"],
        "box of another shape": ["extract", good, *ARCH, "--out", out, "--high", str(tmp_path / "x.npy")],
        "no source": ["extract", good, *ARCH, "--out", out, "--source", "gaussian"],
        "calibration of another shape": [
            "extract",
            good,
            *ARCH,
            "--out",
            out,
            "--calibration",
            str(tmp_path / "x.npy"),
        ],
        "width 0": ["extract", good, *ARCH, "--out", out, "--width", "0"],
        "width -1": ["extract", good, *ARCH, "--out", out, "--width", "-1"],
        "width 1e20": ["extract", good, *ARCH, "--out", out, "--width", "1e20"],
        "width of letters": ["extract", good, *ARCH, "--out", out, "--width", "many"],
        "half a filter": ["extract", good, *ARCH, "--out", out, "--width", "1e-1"],
        "width of a hundred million digits": ["extract", good, *ARCH, "--out", out, "--width", "1e99999999"],
        "width for this memory": ["extract", good, *ARCH, "--out", out, "--width", "1e9", "--memory", "64MiB"],
        "box": ["extract", good, *ARCH, "--out", out, "--high", "-1"],
        "memory": ["extract", good, *ARCH, "--out", out, "--memory", "5 bananas"],
        "device": ["extract", good, *ARCH, "--out", out, "--device", "abacus"],
        "device without a name": ["extract", good, *ARCH, "--out", out, "--device", ""],
        "device of a module that is not there": ["extract", good, *ARCH, "--out", out, "--device", "hpu"],
        "hundredth GPU": ["extract", good, *ARCH, "--out", out, "--device", "cuda:99"],
        "out is a file": ["extract", good, *ARCH, "--out", str(tmp_path / "file")],
        "out below a file": ["extract", good, *ARCH, "--out", str(tmp_path / "file" / "below")],
        "data of another shape": ["extract", good, *ARCH, "--out", out, "--data", str(tmp_path / "x.npy")],
        "data with nan": ["extract", good, *ARCH, "--out", out, "--data", str(tmp_path / "nan.npy")],
        "data with objects": ["extract", good, *ARCH, "--out", out, "--data", str(tmp_path / "object.npy")],
        "data outside": ["extract", good, *ARCH, "--out", out, "--width", "8", "--data", str(tmp_path / "outside.npy")],
        "labels alone": ["extract", good, *ARCH, "--out", out, "--labels", str(tmp_path / "x.npy")],
    }


def test_bad_input_is_one_line_and_status_2(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, arguments in bad(tmp_path, weights).items():
        assert main(arguments) == 2, name
        err = capsys.readouterr().err
        assert err.startswith("sslth: "), (name, err)
        assert err.count("\n") == 1, (name, err)
    left = [path.name for path in (tmp_path / "out").rglob("*")] if (tmp_path / "out").exists() else []
    assert not any(name.endswith(".part") for name in left)
    assert not {"ticket.safetensors", "summary.json", "report.html"} & set(left) - {"ticket.safetensors"}


def test_ctrl_c_is_status_130_and_leaves_no_half_written_file(weights: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "import sslth.cnn.plan as module\n"
        "from sslth.cli.main import main\n"
        "search, count = module.search, []\n"
        "def slow(*arguments, **keywords):\n"
        "    count.append(1)\n"
        "    if len(count) == 5:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return search(*arguments, **keywords)\n"
        "module.search = slow\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["extract", str(weights / "target.safetensors"), *ARCH, "--out", str(tmp_path / "out"), "--quiet"]
    result = subprocess.run(
        [sys.executable, "-c", script, *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 130, result.stderr
    assert "Traceback" not in result.stderr
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left <= {"blocks.db"}  # finished blocks, from which the same command goes on


def test_a_full_disk_leaves_nothing_half_written(weights: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from sslth.cli.main import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["extract", str(weights / "target.safetensors"), *ARCH, "--out", str(tmp_path / "out"), "--quiet"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-c", script, *command, "--width", "64"],
        capture_output=True, text=True, timeout=240, check=False, env=environment,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "cannot write" in result.stderr
    assert "Traceback" not in result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} <= {"blocks.db"}  # whole transactions alone


def test_the_box_may_be_arrays_and_the_weights_another_law(weights: Path, tmp_path: Path) -> None:
    low, high = np.zeros((1, 8, 8)), np.full((1, 8, 8), 0.5)
    high[0, 2, 3] = 1.0
    np.save(tmp_path / "low.npy", low)
    np.save(tmp_path / "high.npy", high)
    box = ["--low", str(tmp_path / "low.npy"), "--high", str(tmp_path / "high.npy")]
    assert run(weights, tmp_path / "out", *box, "--source", "uniform", "--no-compensate", "--quiet") == 0
    ticket = sslth.Ticket.load(tmp_path / "out" / "ticket.safetensors")
    assert np.array_equal(ticket.low, low)
    assert np.array_equal(ticket.high, high)
    assert ticket.source == "uniform"
    assert not any(kept.layer.tap_constants for kept in ticket.layers)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["low"], summary["high"], summary["source"]) == ([0.0, 0.0], [0.5, 1.0], "uniform")


def test_calibration_and_what_is_carried_over(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carrying_arch.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import carrying_arch

    torch.manual_seed(0)
    model = carrying_arch.build().eval()
    save_file(model.state_dict(), tmp_path / "m.safetensors")
    rows = np.random.default_rng(0).random((40, 4)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    arguments = ["extract", "m.safetensors", "--arch", "carrying_arch:build", "--input-shape", "4", "--width", "64"]
    calibrated = ["--carry-over", "1", "--calibration", "rows.npy", "--low", "0"]
    assert main([*arguments, *calibrated, "--out", "out", "--quiet"]) == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["carried_over"] == ["1"]
    assert "Carried over unchanged: 1." in (tmp_path / "out" / "report.html").read_text()
    ticket = sslth.Ticket.load(tmp_path / "out" / "ticket.safetensors")
    example = (torch.as_tensor(np.zeros((1, 4), dtype=np.float32)), 64)
    expected = sslth.extract(
        model, *example, low=0.0, carry_over=["1"], calibration=torch.from_numpy(rows), progress=False
    )
    assert ticket.summary() == expected.summary()
    error = summary["settings"]["compensation"]["output_error"]
    assert 0 < error["with"] < error["without"]
    assert ticket.settings["compensation"]["output_error"]["without"] is None  # the ticket is what was extracted
    plain = sslth.extract(model, *example, low=0.0, carry_over=["1"], compensate=False, progress=False)
    with torch.no_grad():
        target, found = model.double()(torch.from_numpy(rows).double()), plain.to_module(model, merged=True).double()
        apart = found(torch.from_numpy(rows).double()) - target
    assert error["without"] == pytest.approx(float(apart.norm() / (target - target.mean(0)).norm()), rel=0.01)
    assert "<h2>Compensation</h2>" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert main([*arguments, "--out", "out", "--quiet"]) == 2  # the LayerNorm is not carried over
    assert main([*arguments, "--carry-over", "1", "--calibration", "m.safetensors", "--out", "out"]) == 2
    assert main([*arguments, "--carry-over", "7", "--out", "out"]) == 2


def test_a_random_network_on_disk(weights: Path, tmp_path: Path) -> None:
    target = load_file(weights / "target.safetensors")
    pairs, generator = {}, torch.Generator().manual_seed(2)
    for name in sorted({name.rpartition(".")[0] for name in target}):
        shape = target[f"{name}.weight"].shape
        pairs[f"{name}.v"] = torch.randn(16 * shape[1], shape[1], generator=generator)
        pairs[f"{name}.u"] = torch.randn(shape[0], 16 * shape[1], *shape[2:], generator=generator)
    save_file(pairs, tmp_path / "random.safetensors")
    assert run(weights, tmp_path / "out", "--source", str(tmp_path / "random.safetensors"), "--quiet") == 0
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert len(stored["source"]["sha256"]) == 64
    assert [layer["width"] for layer in stored["layers"]] == [8, 8, 8]


def planned(weights: Path, out: Path, *more: str) -> int:
    return main(["extract", str(weights / "target.safetensors"), *ARCH, "--out", str(out), *more])


def test_a_plan_is_printed_first_and_stands_beside_what_was_reached(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(weights, tmp_path / "out", "--target-error", "0.2", "--width", "3000") in (0, 1)
    printed = capsys.readouterr()
    assert printed.err.startswith("plan for target_error 0.2")
    assert "predicted" in printed.out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    plan = summary["plan"]
    assert plan["asked"] == {"target_error": 0.2, "width": 3000}
    assert set(plan["predicted"]) == set(plan["reached"]) == {"error", "seconds", "bytes"}
    assert plan["predicted"]["error"] <= 0.2
    assert plan["reached"]["bytes"] == summary["ticket_bytes"]
    assert plan["widths"] == {layer["name"]: layer["width"] for layer in summary["layers"]}
    assert summary["settings"]["plan"]["reached"]["error"] == plan["reached"]["error"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Planned and reached" in page
    ticket = sslth.Ticket.load(tmp_path / "out" / "ticket.safetensors")
    assert ticket.widths == plan["widths"]


def test_a_wish_that_was_not_reached_is_status_1(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sslth.cnn.widths.width_law import SearchLaw

    error = SearchLaw.error
    monkeypatch.setattr(SearchLaw, "error", lambda self, n, d=None: error(self, n, d) / 30)  # a law that is too bold
    assert planned(weights, tmp_path / "out", "--target-error", "0.01", "--quiet") == 1
    said = capsys.readouterr().err
    assert said.startswith("sslth: not reached: the output error is ")
    assert "target_error is 0.01" in said
    assert "are predicted to do it" in said
    assert said.count("\n") == 1
    assert (tmp_path / "out" / "ticket.safetensors").exists()


def test_impossible_wishes_are_one_line_and_status_2(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for wish in (
        ("--target-error", "0"),
        ("--target-error", "nan"),
        ("--target-error", "1e-30"),
        ("--max-bytes", "10"),
        ("--time-limit", "0"),
    ):
        assert planned(weights, tmp_path / "out", *wish) == 2, wish
        said = capsys.readouterr().err
        assert said.startswith("sslth: "), wish
        assert said.count("\n") == 1, said
    assert not (tmp_path / "out" / "ticket.safetensors").exists()
