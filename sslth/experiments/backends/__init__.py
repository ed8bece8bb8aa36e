"""Where the cells of a grid are evaluated: in this process, in processes beside it, or on a dask cluster."""

from __future__ import annotations

import os

from sslth.errors import InvalidInputError
from sslth.experiments.backends.backend import Backend, Evaluate, Lost, Outcomes, Parameters

__all__ = ["BACKENDS", "Backend", "Evaluate", "Lost", "Outcomes", "Parameters", "make_backend"]

BACKENDS = ("serial", "loky", "dask")


def make_backend(
    name: str = "serial", jobs: int | None = None, address: str | None = None, *, one_thread: bool = True
) -> Backend:
    """Return the backend of a name; nothing is started before it is entered.

    Parameters
    ----------
    name : "serial", "loky" or "dask"
    jobs : int, optional
        Processes of loky; by default one for each core.
    address : str, optional
        Of the dask scheduler, such as tcp://host:8786.
    one_thread : bool
        Whether `serial` keeps BLAS and OpenMP to one thread, as workers do: then sums come out the same on
        every backend, to the last bit.

    Raises
    ------
    InvalidInputError
        For another name, jobs below 1 or beside what has none, dask without an address or without the package, an
        address without dask.

    Examples
    --------
    >>> make_backend("loky", jobs=3).workers
    3
    """
    if name not in BACKENDS:
        raise InvalidInputError(f"there is no backend {name!r}; take one of {', '.join(BACKENDS)}")
    if jobs is not None and jobs < 1:
        raise InvalidInputError(f"jobs is {jobs}; it must be at least 1")
    if name != "loky" and (jobs or 1) > 1:
        raise InvalidInputError(f"the backend {name} has no {jobs} jobs: serial is one, dask has those of its workers")
    if name != "dask" and address is not None:
        raise InvalidInputError(f"the address {address!r} is of a dask scheduler; take the backend dask with it")
    if name == "dask":
        if not address:
            raise InvalidInputError("the backend dask needs the address of a scheduler, such as tcp://host:8786")
        from sslth.experiments.backends.dask_cluster import DaskCluster

        return DaskCluster(address)
    if name == "loky":
        from sslth.experiments.backends.loky import Loky

        return Loky(jobs or os.cpu_count() or 1)
    from sslth.experiments.backends.serial import Serial

    return Serial(one_thread)
