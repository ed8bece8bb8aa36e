"""The torch devices that an exact search may use, and what their failures mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sslth.errors import InvalidInputError

__all__ = ["is_out_of_memory", "usable_devices"]

_LONGEST_REASON = 100


def usable_devices(device: str | Sequence[str]) -> list[torch.device]:
    """The devices of one name or several, each tried with a few bytes; "auto" is the first GPU where there is one.

    Parameters
    ----------
    device : str or sequence of str
        The same device may be named twice: it then works on two parts at once.

    Returns
    -------
    list of torch.device
        As many as were named, in their order.

    Raises
    ------
    InvalidInputError
        For a name that torch does not know, or a device that is not there.

    Examples
    --------
    >>> usable_devices("cpu")
    [device(type='cpu')]
    """
    names = [device] if isinstance(device, str) else list(device)
    if not names:
        raise InvalidInputError("device is an empty list; name one device at least, such as 'cpu'")
    return [_usable(name) for name in names]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed; torch says so by a plain RuntimeError on the CPU, and now and then on a GPU."""
    said = str(error)
    return isinstance(error, MemoryError) or "not enough memory" in said or "out of memory" in said


def _usable(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        where = torch.device(name)
        torch.sort(torch.zeros(2, dtype=torch.int64, device=where)).values.cpu()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise InvalidInputError(f"the device {name!r} cannot be used ({reason}); try 'cpu'") from None
    return where
