"""The second-moment method: how likely some subset is near the target, at least."""

from sslth.theory.second_moment.enclosure import enclose_gaussian, enclose_nsn_hit, flint_is_here
from sslth.theory.second_moment.paley_zygmund import PaleyZygmund, paley_zygmund

__all__ = ["PaleyZygmund", "enclose_gaussian", "enclose_nsn_hit", "flint_is_here", "paley_zygmund"]
