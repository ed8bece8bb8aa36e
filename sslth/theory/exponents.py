"""The width that the structured theorem asks for, with its constant and exponents as parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sslth.errors import InvalidInputError

__all__ = ["StructuredWidth"]


@dataclass(frozen=True)
class StructuredWidth:
    """n >= constant · d^a · c^b · log³(d² c l / ε), natural logarithm [daCunhaEtAl2023]_.

    d is the side of the kernels, c the largest number of channels, l the number of layers of the target.

    Attributes
    ----------
    a, b : float
        About (12, 6) up to (13, 6), as proofs go.
    constant : float
        The paper leaves it unnamed.

    References
    ----------
    .. [daCunhaEtAl2023] A. da Cunha, F. d'Amore, E. Natale, "Polynomially over-parameterized convolutional neural
       networks contain structured strong winning lottery tickets", NeurIPS 2023, arXiv:2311.09858.

    Examples
    --------
    >>> round(StructuredWidth(a=12, b=6).at(d=3, c=16, layers=20, epsilon=0.01), -13)
    1.771e+16
    """

    a: float = 12.0
    b: float = 6.0
    constant: float = 1.0

    def at(self, d: int, c: int, layers: int, epsilon: float) -> float:
        """Return the width that the theorem asks for.

        Raises
        ------
        InvalidInputError
            Unless all sizes are at least 1 and 0 < ε < 1.
        """
        if min(d, c, layers) < 1 or not 0.0 < epsilon < 1.0:
            given = f"d={d}, c={c}, layers={layers}, epsilon={epsilon}"
            raise InvalidInputError(f"{given}: sizes must be at least 1 and epsilon between 0 and 1")
        logarithm = math.log(d**2 * c * layers / epsilon)
        return self.constant * math.pow(d, self.a) * math.pow(c, self.b) * logarithm**3
