"""Reading what users have: state dicts, arrays, and the function that builds their network. Never a pickle of code."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sslth.cnn.joined import join_rows
from sslth.errors import InvalidInputError

__all__ = ["build_network", "load_array", "load_corner", "load_network", "load_rows", "load_source", "load_state_dict"]


def load_network(path: Path, arch: str) -> nn.Module:
    """Build the network that `arch` ("module:callable", "file.py:callable") names with the stored weights, to evaluate.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, the callable cannot be found or called, or the weights do not fit.
    """
    state = load_state_dict(path)
    network = build_network(arch)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise InvalidInputError(f"the weights in {path} do not fit {arch}: {_one_line(error)}") from None
    return network.eval()


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors file, or from a .pt file read with `weights_only=True`."""
    if not path.is_file():
        raise InvalidInputError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            loaded: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch warns of odd files before it refuses them
                loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise InvalidInputError(f"cannot read weights from {path}: {_one_line(error)}") from None
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise InvalidInputError(f"{path} does not hold a state dict (tensors by name)")
    return loaded


def load_array(path: Path) -> npt.NDArray[Any]:
    """One array of numbers from a .npy file; never unpickles."""
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidInputError(f"cannot read an array from {path}: {_one_line(error)}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.size == 0:
        raise InvalidInputError(f"{path} must hold one array of numbers that is not empty")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{path} holds NaN or infinite values")
    return array


def load_rows(path: Path, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
    """Inputs float32[rows, *shape] from a .npy file; from an .npz of an array an input, joined, for several."""
    if len(shapes) == 1:
        array = load_array(path)
        if array.shape[1:] != shapes[0] or array.ndim != len(shapes[0]) + 1:
            raise InvalidInputError(
                f"{path} has shape {array.shape}; inputs of shape {shapes[0]} are needed, one a row"
            )
        return torch.from_numpy(array.astype("float32"))
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = [archive[name] for name in getattr(archive, "files", ())]
    except (OSError, ValueError, EOFError, AttributeError, TypeError, BadZipFile) as error:
        raise InvalidInputError(f"cannot read inputs from {path}: {_one_line(error)}") from None
    if any(array.dtype.kind not in "biuf" or not np.isfinite(array).all() for array in arrays):
        raise InvalidInputError(f"{path} must hold finite numbers only")
    if len(arrays) != len(shapes):
        raise InvalidInputError(
            f"{path} holds {len(arrays)} arrays; write an .npz with one for each of {len(shapes)} inputs"
        )
    return join_rows([torch.from_numpy(array.astype("float32")) for array in arrays], shapes, str(path))


def build_network(arch: str) -> nn.Module:
    """The network that `arch` makes, "module:callable" or "file.py:callable", with the weights it comes with.

    Raises
    ------
    InvalidInputError
        If the callable cannot be found, fails, or gives something else than a module.
    """
    place, _, attribute = arch.rpartition(":")
    if not place or not attribute:
        raise InvalidInputError(
            f"--arch is {arch!r}; write module:callable, such as sslth.networks:small_cnn, or file.py:callable"
        )
    try:
        make = getattr(_file_module(Path(place)) if place.endswith(".py") else _named_module(place), attribute)
        network = make()
    except (Exception, SystemExit) as error:  # it is the user's code that runs here: whatever it raises is about --arch
        raise InvalidInputError(f"--arch {arch} fails: {type(error).__name__}: {_one_line(error)}") from error
    if not isinstance(network, nn.Module):
        raise InvalidInputError(f"--arch {arch} gives a {type(network).__name__}, not a torch.nn.Module")
    return network


def _named_module(name: str) -> ModuleType:
    _look_for_modules_in(Path.cwd())  # a Python file beside the weights is what most users have
    return importlib.import_module(name)


def _file_module(path: Path) -> ModuleType:
    """The module in a file, which may import its neighbours; it is run once, as `import` would."""
    if not path.is_file():
        raise InvalidInputError(f"there is no file {path}")
    where = path.resolve()
    known = sys.modules.get(where.stem)
    if known is not None and getattr(known, "__file__", None) == str(where):
        return known
    _look_for_modules_in(where.parent)
    spec = importlib.util.spec_from_file_location(where.stem if known is None else f"_sslth_{where.stem}", where)
    assert spec is not None
    assert spec.loader is not None  # the suffix is .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as `import` does, for what looks itself up there
    try:
        spec.loader.exec_module(module)
    except BaseException:  # also Ctrl-C and SystemExit of the user's code: no half-run module stays behind
        del sys.modules[spec.name]
        raise
    return module


def _look_for_modules_in(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def load_corner(text: str, option: str) -> float | tuple[float, ...] | npt.NDArray[np.float64]:
    """A corner of the box of inputs: a number, numbers with commas, one an input, or an array from a .npy file."""
    if text.endswith(".npy"):
        return load_array(Path(text)).astype(np.float64)
    try:
        parts = tuple(float(part) for part in text.split(","))
        return parts if len(parts) > 1 else parts[0]
    except ValueError:
        raise InvalidInputError(f"{option} is {text!r}; write a number or the name of a .npy file") from None


def load_source(text: str) -> Any:
    """What `--source` names: a weight law, or the pairs of a .safetensors file with tensors LAYER.v and LAYER.u.

    LAYER.constant_v and LAYER.constant_u may follow; `sslth.extract` says what shapes they have.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, or a tensor is missing or has another name.
    """
    path = Path(text)
    if path.suffix != ".safetensors":
        return text
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, values in load_state_dict(path).items():
        layer, _, part = name.rpartition(".")
        pairs.setdefault(layer, {})[part] = values
    for layer, parts in pairs.items():
        if set(parts) not in ({"v", "u"}, {"v", "u", "constant_v", "constant_u"}):
            raise InvalidInputError(f"{path} has {sorted(parts)} for layer {layer!r}; v and u are needed")
    return {
        layer: tuple(parts[part] for part in ("v", "u", "constant_v", "constant_u") if part in parts)
        for layer, parts in pairs.items()
    }
