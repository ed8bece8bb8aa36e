"""Magnitude pruning in one shot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sslth.errors import InvalidInputError
from sslth.mining.masks import Mask
from sslth.mining.run import Found, Run
from sslth.mining.selection import choose

__all__ = ["Magnitude"]


@dataclass(frozen=True)
class Magnitude:
    """Keeps the largest weights, of the trained network or of the initial one.

    [HanEtAl2015]_ prune a trained network and go on training what is left; this does so once, after `epochs` of
    training. With `of="init"` it prunes before any training.

    Attributes
    ----------
    of : str
        "trained" or "init".
    budget : str
        "global" or the name of a layerwise one.

    References
    ----------
    .. [HanEtAl2015] S. Han, J. Pool, J. Tran, W. J. Dally, "Learning both Weights and Connections for Efficient Neural
       Networks", NeurIPS 2015. arXiv:1506.02626
    """

    of: Literal["trained", "init"] = "trained"
    budget: str = "global"
    name: ClassVar[str] = "magnitude"

    def __post_init__(self) -> None:
        if self.of not in ("trained", "init"):
            raise InvalidInputError(f"of is {self.of!r}; choose 'trained' or 'init'")

    def search(self, run: Run) -> Found:
        """Train all weights if so asked, then compare their absolute values."""
        if self.of == "trained":
            trained = [parameter for parameter in run.network.parameters() if parameter.requires_grad]
            run.train(trained, run.training, phase="dense")
        scores = {name: slot.parameter.detach().abs().cpu() for name, slot in run.slots.items()}
        return Found(Mask(choose(scores, run.keep, self.budget, run.on_empty)), scores)
