"""An upper bound on a sum of maxima of linear functions over a cube, by one quadratic function above all of them.

Each maximum taken by itself has its own worst input, and a sum of hundreds is then far too large. Here every maximum of
functions f_e is bounded by a quadratic one, ``l + τ/2 + Σ w_e (f_e - l)² / 2`` with ``l = Σ b_e f_e``, ``Σ b_e = 1``,
by Cauchy and Schwarz; their sum is a single quadratic function ``vᵀ C v + Σ τ/2`` of ``v = (1, h)``, and
``C <= diag(y)`` bounds it by ``Σ y`` on the whole cube, however the maxima share their inputs. Any b, w > 0 and y are
sound; gradient steps choose them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["greatest_sum"]

_EPS = 2.0**-52
_TINY = 1e-290
# Vectors of the relaxed problem have so many entries; its best value hardly depends on it.
_RANK = 24
_SWEEPS = 3
_RATE, _COOLED = 0.1, 0.05
# How large the multiple of the mean that a term gives up may be; keeps rounding harmless.
_MOST_SHIFT = 64.0
_TRIALS = 6


def greatest_sum(forms: Tensor, possible: Tensor, steps: int) -> Tensor:
    """Upper bounds of ``Σ_j max_e forms[k, j, e] · (1, h)`` for all h in the cube [-1, 1]^n: float64[k].

    Parameters
    ----------
    forms : float64[k, j, e, 1 + n]
    possible : bool[k, j, e]
        Over which e each maximum is taken; at least one.
    steps : int
        Of the gradient on b and w.

    Returns
    -------
    float64[k]
        Rounding included.

    Notes
    -----
    For given C the best y is the dual of a semidefinite program (as of the maximum cut), which is solved by turning one
    vector at a time [Wang2018]_. That C <= λ diag(y) is verified by a Cholesky factor of a slightly smaller matrix
    [Rump2006]_. A step costs k·n²·24 multiply-adds, and those of making C: k·j·e·n².

    .. [Rump2006] S. M. Rump, "Verification of positive definiteness", BIT Numerical Mathematics 46, 433-452, 2006.
       doi:10.1007/s10543-006-0056-1
    .. [Wang2018] P.-W. Wang, W.-C. Chang, J. Z. Kolter, "The mixing method: low-rank coordinate descent for
       semidefinite programming with diagonal constraints", arXiv:1706.00476.

    Examples
    --------
    >>> h, zero = torch.tensor([[0.0, 1.0]]).double(), torch.zeros(1, 2).double()
    >>> forms = torch.stack([torch.cat([h, zero]), torch.cat([-h, zero])])[None]  # relu(h) + relu(-h)
    >>> possible = torch.ones(1, 2, 2, dtype=torch.bool)
    >>> round(greatest_sum(forms, possible, 60).item(), 2)  # one by one, the maxima add up to 2
    1.0
    """
    if not bool(torch.isfinite(forms).all()):
        return torch.full((len(forms),), torch.inf, dtype=torch.float64)
    forms = forms.masked_fill(~possible[..., None], 0.0)
    single = possible.sum(-1) == 1
    fixed = torch.where(single[..., None, None], forms, 0.0).sum((1, 2))
    used = (~single).any(0)
    problem = _Problem(forms[:, used], possible[:, used], single[:, used], fixed)
    size = forms.abs().amax(2).sum((1, 2))
    vectors = _random_vectors(len(forms), forms.shape[-1])
    best = torch.full((len(forms),), torch.inf, dtype=torch.float64)
    leaves = [leaf.requires_grad_(True) for leaf in problem.start()]
    stepper = torch.optim.Adam(leaves, lr=_RATE)
    for step in range(steps + 1):
        with torch.no_grad():
            matrix, mass = problem.matrix(*leaves)
            vectors = _turned(matrix, vectors, 1 if step else _SWEEPS)
            if step in (0, steps):
                found = problem.offset(leaves[1], leaves[0]) + _greatest_square(matrix, mass, vectors)
                best = torch.minimum(best, found)
        if step == steps:
            break
        stepper.param_groups[0]["lr"] = _RATE * _COOLED ** (step / steps)
        with torch.enable_grad():
            value = problem.value(leaves[0], leaves[1], vectors)
            stepper.zero_grad()
            value.sum().backward()  # type: ignore[no-untyped-call]
        stepper.step()
    rounding = 64.0 * (1.0 + _MOST_SHIFT) * (forms.shape[2] + 8) * _EPS * size
    return best + (1.0 + 1e-6) * rounding + _TINY


@dataclass(frozen=True, eq=False)
class _Problem:
    forms: Tensor
    possible: Tensor
    single: Tensor  # maxima over one function only: they are in `fixed`
    fixed: Tensor  # [k, 1 + n]

    def start(self) -> list[Tensor]:
        """Logits of b, and log w."""
        size = (self.forms[..., 0].abs() + self.forms[..., 1:].pow(2).sum(-1).sqrt()).amax(-1, keepdim=True)
        size = size.clamp(min=1e-9 * float(size.amax()) + 1e-200) if size.numel() else size
        return [torch.zeros_like(self.forms[..., 0]), -torch.log(2.0 * size).expand(self.possible.shape).clone()]

    def _means(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits.masked_fill(~self.possible, -torch.inf), -1)

    def _parts(self, logits: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The functions less their means, w where it counts, and the sum of the means."""
        mean = torch.einsum("kje,kjen->kjn", self._means(logits), self.forms)
        counts = self.possible & ~self.single[..., None]
        apart = torch.where(counts[..., None], self.forms - mean[:, :, None], 0.0)
        weight = torch.where(counts, torch.exp(weights), 0.0)
        return apart, weight, self.fixed + torch.where(self.single[..., None], 0.0, mean).sum(1)

    def offset(self, weights: Tensor, logits: Tensor) -> Tensor:
        """Σ τ / 2: with ``f_e - l = Σ a (f - l)`` for ``a = 1_e - c b`` and any c, τ = max_e Σ a² / w."""
        means = self._means(logits)
        inverse = torch.where(self.possible, torch.exp(-weights), 0.0)
        whole = (means * means * inverse).sum(-1, keepdim=True)
        back = (means * inverse / whole.clamp(min=_TINY)).clamp(max=_MOST_SHIFT)
        each = inverse - 2.0 * back * means * inverse + back * back * whole
        each = each + 1e-12 * inverse.amax(-1, keepdim=True)  # more than rounding
        each = torch.where(self.possible & ~self.single[..., None], each, 0.0).amax(-1)
        return 0.5 * each.sum(1) * (1.0 + 1e-12)

    def value(self, logits: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
        """The bound where C is met by the vectors' products instead of y: its gradient is that of the bound."""
        apart, weight, linear = self._parts(logits, weights)
        turned = torch.einsum("kjen,knr->kjer", apart, vectors)
        first = torch.einsum("kn,knr,kr->k", linear, vectors, vectors[:, 0])
        return self.offset(weights, logits) + first + 0.5 * (weight * turned.pow(2).sum(-1)).sum((1, 2))

    def matrix(self, logits: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """C, and a bound on the rounding of each of its entries."""
        apart, weight, linear = self._parts(logits, weights)
        roots = (apart * (0.5 * weight).sqrt()[..., None]).flatten(1, 2)
        both = []
        for rows, row in ((roots, linear), (roots.abs(), linear.abs())):
            entry = rows.transpose(1, 2) @ rows
            entry[:, 0] += 0.5 * row
            entry[:, :, 0] += 0.5 * row
            both.append(entry)
        return both[0], 4.0 * (roots.shape[1] + 16) * _EPS * both[1]


def _random_vectors(count: int, size: int) -> Tensor:
    drawn = torch.randn(1, size, _RANK, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=-1).repeat(count, 1, 1)


def _turned(matrix: Tensor, vectors: Tensor, times: int) -> Tensor:
    """Each vector in turn to where the others pull it, so that ``Σ C_ij v_i · v_j`` grows."""
    without = matrix - torch.diag_embed(torch.diagonal(matrix, dim1=1, dim2=2))
    for _ in range(times):
        for i in range(vectors.shape[1]):
            pull = torch.bmm(without[:, i : i + 1], vectors)[:, 0]
            length = pull.norm(dim=-1, keepdim=True)
            vectors[:, i] = torch.where(length > _TINY, pull / length.clamp(min=_TINY), vectors[:, i])
    return vectors


def _greatest_square(matrix: Tensor, error: Tensor, vectors: Tensor) -> Tensor:
    """Above ``vᵀ C v`` for all v with entries from -1 to 1: ``λ Σ y``, where ``C <= λ diag(y)`` is verified."""
    constant = matrix[:, 0, 0].clone()  # of any sign, while y is positive
    matrix = matrix.clone()
    matrix[:, 0, 0] = 0.0
    diagonal = torch.diagonal(matrix, dim1=1, dim2=2)
    pull = torch.bmm(matrix - torch.diag_embed(diagonal), vectors).norm(dim=-1)
    y = (diagonal + pull).clamp(min=0.0)
    y = torch.maximum(y, 1e-12 * y.amax(1, keepdim=True) + 1e-250)
    scale = 1.0 / y.sqrt()
    y = (1.0 / (scale * scale)) * (1.0 + 8.0 * _EPS)
    scaled = matrix * scale[:, :, None] * scale[:, None]
    scaled = 0.5 * (scaled + scaled.transpose(1, 2))
    size = matrix.shape[1]
    noise = ((error + 8.0 * _EPS * matrix.abs()) * scale[:, :, None] * scale[:, None]).pow(2).sum((1, 2)).sqrt()
    most = torch.linalg.eigvalsh(scaled)[:, -1].clamp(min=0.0)
    # Without a Cholesky factor, no eigenvalue is above the largest sum of a row.
    proved = scaled.abs().sum(2).amax(1) * (1.0 + 4.0 * size * _EPS)
    eye = torch.eye(size, dtype=torch.float64)
    for trial in range(_TRIALS):
        claimed = most * (1.0 + 1e-9 * 10.0**trial) + 1e-12
        rest = claimed[:, None, None] * eye - scaled
        lost = 8.0 * (size + 4) * _EPS * (torch.diagonal(rest, dim1=1, dim2=2).abs().sum(1) + claimed * size) + 1e-250
        definite = torch.linalg.cholesky_ex(rest - lost[:, None, None] * eye).info == 0
        proved = torch.where(definite, torch.minimum(proved, claimed), proved)
        if bool(definite.all()):
            break
    square = (proved + (1.0 + 1e-6) * noise) * y.sum(1) * (1.0 + 4.0 * size * _EPS)
    return constant + square + 4.0 * _EPS * (constant.abs() + square)
