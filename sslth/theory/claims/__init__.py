"""The claims of the papers; each is a file `claim_*.py` with a `CLAIM`, and a new file is all that a new one needs."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from sslth.theory.claims.claim import Case, Claim, Effort, Findings, Panel, Series, Side, Verdict

__all__ = ["Case", "Claim", "Effort", "Findings", "Panel", "Series", "Side", "Verdict", "claims"]


@cache
def claims() -> dict[int, Claim]:
    """Return all claims by their number, in its order."""
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("claim_"))
    found: list[Claim] = [import_module(f"{__name__}.{name}").CLAIM for name in names]
    return {claim.number: claim for claim in sorted(found, key=lambda claim: claim.number)}
