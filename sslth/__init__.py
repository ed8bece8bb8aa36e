"""Structured strong lottery tickets in random CNNs, by multidimensional random subset sum.

Importing this package is cheap: every public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sslth import theory
    from sslth.cnn.certificates.certify import Report, certify
    from sslth.cnn.certificates.data_certificate import DataCertificate, data_certificate
    from sslth.cnn.extract import extract
    from sslth.cnn.ticket import Ticket
    from sslth.errors import InvalidInputError, SslthError, TicketFileError, UnsupportedModuleError
    from sslth.subset_sum.count import count
    from sslth.subset_sum.draw_instance import draw_instance
    from sslth.subset_sum.instance import Instance
    from sslth.subset_sum.solution import Certificate, Solution, Solutions, Status
    from sslth.subset_sum.solutions import solutions
    from sslth.subset_sum.solve import solve, solvers
    from sslth.subset_sum.solve_many import solve_many
    from sslth.subset_sum.verify import verify
    from sslth.theory.floors import first_moment_floor

__version__ = "0.1.0"

_HOMES = {
    "Certificate": "sslth.subset_sum.solution",
    "DataCertificate": "sslth.cnn.certificates.data_certificate",
    "Instance": "sslth.subset_sum.instance",
    "InvalidInputError": "sslth.errors",
    "Report": "sslth.cnn.certificates.certify",
    "Solution": "sslth.subset_sum.solution",
    "Solutions": "sslth.subset_sum.solution",
    "SslthError": "sslth.errors",
    "Status": "sslth.subset_sum.solution",
    "Ticket": "sslth.cnn.ticket",
    "TicketFileError": "sslth.errors",
    "UnsupportedModuleError": "sslth.errors",
    "certify": "sslth.cnn.certificates.certify",
    "count": "sslth.subset_sum.count",
    "data_certificate": "sslth.cnn.certificates.data_certificate",
    "draw_instance": "sslth.subset_sum.draw_instance",
    "extract": "sslth.cnn.extract",
    "first_moment_floor": "sslth.theory.floors",
    "solutions": "sslth.subset_sum.solutions",
    "solve": "sslth.subset_sum.solve",
    "solve_many": "sslth.subset_sum.solve_many",
    "solvers": "sslth.subset_sum.solve",
    "theory": "sslth.theory",
    "verify": "sslth.subset_sum.verify",
}

__all__ = [
    "Certificate",
    "DataCertificate",
    "Instance",
    "InvalidInputError",
    "Report",
    "Solution",
    "Solutions",
    "SslthError",
    "Status",
    "Ticket",
    "TicketFileError",
    "UnsupportedModuleError",
    "certify",
    "count",
    "data_certificate",
    "draw_instance",
    "extract",
    "first_moment_floor",
    "solutions",
    "solve",
    "solve_many",
    "solvers",
    "theory",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sslth' has no attribute {name!r}")
    home = import_module(_HOMES[name])
    value = home if name == "theory" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
