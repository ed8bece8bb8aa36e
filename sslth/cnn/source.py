"""Where the weights of the random CNN come from: a law and the seed, or the reader's own tensors, named by SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sslth.cnn.layers import OWN, Layer, Wiring
from sslth.cnn.own_weights import OwnPair, digest_of_pairs
from sslth.cnn.read_pairs import read_pairs
from sslth.cnn.weight_laws import LAWS, kaiming_gain
from sslth.errors import InvalidInputError

__all__ = ["NORMAL", "Source", "as_source"]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Source:
    """A weight law, or pairs of the reader's own.

    Attributes
    ----------
    law : str
        "normal", "uniform", "kaiming", or "own".
    pairs : mapping from layer names to OwnPair
        Empty for a law.
    sha256 : str or None
        Of the pairs; None for a law.
    """

    law: str
    pairs: Mapping[str, OwnPair] = field(default_factory=dict)
    sha256: str | None = None

    @property
    def described(self) -> str | dict[str, str]:
        """What a ticket stores: the law's name, or {"sha256": ...}."""
        return self.law if self.sha256 is None else {"sha256": self.sha256}

    def width(self, name: str, width: int) -> int:
        """n of a layer: the wanted one, or what the reader's own pair has."""
        return self.pairs[name].filters_per_channel // 2 if self.pairs else width

    def applied(self, layer: Layer) -> Layer:
        """The layer with its weights from here."""
        pair = self.pairs.get(layer.name)
        if pair is None:
            return replace(layer, law=self.law)
        layer = replace(layer, law=OWN, own=pair, width=pair.filters_per_channel // 2)
        return layer if pair.constant_v is None else replace(layer, constants=pair.constant_v.shape[1])

    def fixed_gains(
        self, gains: dict[str, float], wirings: Mapping[str, Wiring], widths: Mapping[str, int]
    ) -> dict[str, float]:
        """The gains that are not free: the reader's, and all of them where the law has a scale of its own."""
        if self.law != "kaiming":
            return gains
        if gains:
            raise InvalidInputError("source='kaiming' fixes the gain of every layer; leave out gain, or use 'normal'")
        return {name: kaiming_gain(wiring, widths[name]) for name, wiring in wirings.items()}

    def in_rows(self, name: str, norms: FloatArray, bias_norm: float) -> tuple[FloatArray, float]:
        """Lengths of a layer's blocks and bias, measured in random rows of this source; as they are for a law."""
        pair = self.pairs.get(name)
        if pair is None:
            return norms, bias_norm
        norms = norms / pair.size_of_a_row
        if pair.constant_v is None or pair.constant_u is None:
            return norms, bias_norm / pair.constant_unit
        row = float(np.sqrt(np.mean(np.square(pair.constant_v, dtype=np.float64))))
        row *= float(np.sqrt(np.mean(np.square(pair.constant_u, dtype=np.float64))))
        share = pair.constant_v.shape[1] / pair.filters_per_channel
        return np.append(norms, bias_norm / (row * share)), 0.0


NORMAL = Source("normal")


def as_source(source: Any, wirings: Mapping[str, Wiring]) -> Source:
    """What `source=` means for layers of these shapes.

    Parameters
    ----------
    source : None, str, mapping or torch.nn.Module
        A law's name; {layer: (V, U)} or {layer: (V, U, v, u)} of tensors, arrays or modules without bias, where v and u
        belong to the filters that read the constant 1; or a whole random network, whose weighted layers pair up in
        their order, or stand under the target's names as `Ticket.random_network()` makes them.

    Raises
    ------
    InvalidInputError
        For an unknown law, pairs that are missing or too many, shapes that do not fit, and numbers that are not
        finite or not float32.
    """
    if source is None:
        return NORMAL
    if isinstance(source, Source):
        return source
    if isinstance(source, str):
        if source not in LAWS:
            raise InvalidInputError(f"source is {source!r}; the weight laws are {', '.join(LAWS)}")
        return Source(source)
    pairs = read_pairs(source, wirings)
    return Source(OWN, pairs, digest_of_pairs(pairs))
