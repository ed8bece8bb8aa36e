"""Tickets found by scores instead of subset sums: masks on any PyTorch model, the methods that find them, and checks.

Names are loaded when they are first used; importing this package loads neither torch nor a method.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sslth.mining.connectivity import line_between
    from sslth.mining.data_diet import diet_curve, diet_rows, mine_on_a_diet
    from sslth.mining.diverged import DivergedError
    from sslth.mining.ensemble import Ensemble, mine_ensemble
    from sslth.mining.example_scores import score_examples
    from sslth.mining.masks import Mask
    from sslth.mining.methods import known_methods, method_named
    from sslth.mining.methods.edge_popup import EdgePopup
    from sslth.mining.methods.gem_miner import GemMiner
    from sslth.mining.methods.imp import Imp
    from sslth.mining.methods.magnitude import Magnitude
    from sslth.mining.methods.random import Random
    from sslth.mining.methods.snip import Snip
    from sslth.mining.methods.synflow import SynFlow
    from sslth.mining.mined import Mined
    from sslth.mining.parametrized import masked
    from sslth.mining.sanity import SanityReport, sanity_checks
    from sslth.mining.scope import Scope
    from sslth.mining.search import mine
    from sslth.mining.training import Training

_HOMES = {
    "DivergedError": "sslth.mining.diverged",
    "EdgePopup": "sslth.mining.methods.edge_popup",
    "Ensemble": "sslth.mining.ensemble",
    "GemMiner": "sslth.mining.methods.gem_miner",
    "Imp": "sslth.mining.methods.imp",
    "Magnitude": "sslth.mining.methods.magnitude",
    "Mask": "sslth.mining.masks",
    "Mined": "sslth.mining.mined",
    "Random": "sslth.mining.methods.random",
    "SanityReport": "sslth.mining.sanity",
    "Scope": "sslth.mining.scope",
    "Snip": "sslth.mining.methods.snip",
    "SynFlow": "sslth.mining.methods.synflow",
    "Training": "sslth.mining.training",
    "diet_curve": "sslth.mining.data_diet",
    "diet_rows": "sslth.mining.data_diet",
    "line_between": "sslth.mining.connectivity",
    "masked": "sslth.mining.parametrized",
    "method_named": "sslth.mining.methods",
    "known_methods": "sslth.mining.methods",
    "mine": "sslth.mining.search",
    "mine_ensemble": "sslth.mining.ensemble",
    "mine_on_a_diet": "sslth.mining.data_diet",
    "sanity_checks": "sslth.mining.sanity",
    "score_examples": "sslth.mining.example_scores",
}

__all__ = [
    "DivergedError",
    "EdgePopup",
    "Ensemble",
    "GemMiner",
    "Imp",
    "Magnitude",
    "Mask",
    "Mined",
    "Random",
    "SanityReport",
    "Scope",
    "Snip",
    "SynFlow",
    "Training",
    "diet_curve",
    "diet_rows",
    "known_methods",
    "line_between",
    "masked",
    "method_named",
    "mine",
    "mine_ensemble",
    "mine_on_a_diet",
    "sanity_checks",
    "score_examples",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sslth.mining' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
