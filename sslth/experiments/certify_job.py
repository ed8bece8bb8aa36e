"""Proving a ticket on disk against a model, and what is left of it: JSON, the witness, files for other verifiers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from sslth.cnn.certificates.certificate import Report
from sslth.cnn.certificates.certify import certify
from sslth.cnn.certificates.data_certificate import DataCertificate, data_certificate
from sslth.cnn.certificates.export_property import export_property
from sslth.cnn.ticket import Ticket
from sslth.errors import InvalidInputError
from sslth.subset_sum.files import write_atomically, write_bytes

__all__ = ["certificate_table", "run_certify_job"]

_LOOSE = 1000.0


def run_certify_job(
    ticket: Ticket,
    model: nn.Module,
    *,
    low: Any = None,
    high: Any = None,
    device: str = "auto",
    data: Tensor | None = None,
    confidence: float = 0.999,
    out: Path | None = None,
    vnnlib: Path | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Certify a ticket and describe the certificate, as JSON values.

    Parameters
    ----------
    ticket, model, low, high, device
        As `sslth.certify` takes them.
    data : Tensor[N, *input_shape], optional
        Inputs for `sslth.data_certificate`; the search for a witness starts from them too.
    confidence : float
        Of what they say.
    out : Path, optional
        Folder for certificate.json and witness.npy.
    vnnlib : Path, optional
        Folder for both networks and the claim |target - ticket| < upper, on the ticket's own box, as ONNX and VNN-LIB.
    progress : bool

    Returns
    -------
    dict
        `upper` (None where nothing is proved, with `upper_reason`), `lower`, `upper_over_lower`, `upper_per_output`,
        `kernel_error` (None where the target's kernel is zero and the ticket's is not), `float32_error` (None where
        none is known), `same_target`, `low` and `high` (the least and the largest entry of that corner),
        `carried_over`, `seconds`, `files`, and `data` (None without inputs): `inputs`, `confidence`, `error`,
        `share_above`, `share_same_class`, and the `sentence` that says what they mean.

    Raises
    ------
    InvalidInputError
        As `sslth.certify` and `sslth.data_certificate`; if a file cannot be written, if there is no bound to export, or
        the box is another one.
    """
    if vnnlib is not None and not (low is None and high is None):
        raise InvalidInputError("the exported property speaks of the ticket's own box; leave out low and high")
    sampled = None if data is None else data_certificate(ticket, model, data, confidence)
    report = certify(ticket, model, low, high, device, data=data, progress=progress)
    summary = _described(report, ticket) | {"data": None if sampled is None else _sampled(sampled)}
    if vnnlib is not None:
        if report.reason is not None or report.upper == 0:
            raise InvalidInputError(f"there is no bound to export: {report.reason or 'both networks are the same'}")
        summary["files"] += [str(path) for path in export_property(ticket, model, vnnlib, report.upper)]
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(f"cannot make the output folder {out}: {error.strerror or error}") from error
        names = [out / "certificate.json", out / "witness.npy"]
        summary["files"] += [str(path) for path in names]
        write_atomically(names[1], lambda file: np.save(file, report.witness, allow_pickle=False))
        write_bytes(names[0], (json.dumps(summary, indent=2, allow_nan=False) + "\n").encode())
    return summary


def certificate_table(summary: dict[str, Any]) -> str:
    """The certificate in a few lines."""
    upper, ratio = summary["upper"], summary["upper_over_lower"]
    known = summary["float32_error"]
    errors = [error for error in summary["kernel_error"].values() if error is not None]
    zero = len(errors) < len(summary["kernel_error"])
    lines = {
        "proved upper bound": f"none: {summary['upper_reason']}" if upper is None else f"{upper:.3e}",
        "attained": f"{summary['lower']:.3e}",
        "largest kernel error": f"{max(errors, default=0.0):.2e}"
        + (", and some of kernels that are zero" if zero else ""),
        "float32 evaluation": "no bound known" if known is None else f"off by at most {known:.1e}, not included",
        "the model": "the ticket's target" if summary["same_target"] else "NOT the ticket's target: other weights",
        "seconds": f"{summary['seconds']:.1f}",
    }
    if ratio is not None and ratio > _LOOSE:
        lines["the proof"] = f"is loose at this depth: {ratio:.0f} times what was attained"
    if summary["data"] is not None:
        lines["the inputs given"] = summary["data"]["sentence"]
    if summary["carried_over"]:
        lines["CARRIED OVER"] = ", ".join(summary["carried_over"])
    for path in summary["files"]:
        lines[f"wrote {Path(path).name}"] = path
    return "\n".join(f"{name:24s} {value}" for name, value in lines.items())


def _sampled(found: DataCertificate) -> dict[str, Any]:
    names = ("inputs", "confidence", "error", "share_above", "share_same_class")
    return {name: getattr(found, name) for name in names} | {"sentence": found.sentence()}


def _described(report: Report, ticket: Ticket) -> dict[str, Any]:
    uppers = report.upper_per_output if isinstance(report.upper_per_output, tuple) else (report.upper_per_output,)
    proved = report.reason is None
    return {
        "upper": report.upper if proved else None,
        "upper_reason": report.reason,
        "lower": report.lower,
        "upper_over_lower": report.upper / report.lower if proved and report.lower > 0 else None,
        "upper_per_output": [values.tolist() for values in uppers] if proved else None,
        "kernel_error": {name: e if math.isfinite(e) else None for name, e in report.kernel_error.items()},
        "float32_error": report.float32_error if math.isfinite(report.float32_error) else None,
        "same_target": report.same_target,
        "low": [float(report.low.min()), float(report.low.max())],
        "high": [float(report.high.min()), float(report.high.max())],
        "carried_over": list(ticket.carry_over),
        "seconds": round(report.seconds, 3),
        "files": [],
    }
