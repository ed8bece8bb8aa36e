"""The process that runs the trials, one at a time, on its own cores; and its handle, which kills it when it must."""

from __future__ import annotations

import ctypes
import hashlib
import math
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.solver_study.grid import PEERS, Cell, Contestant, Problem, Side
from benchmarks.solver_study.roofline import REFERENCE, measure_reference
from sslth.errors import InvalidInputError
from sslth.subset_sum.instance import Instance
from sslth.subset_sum.solution import Status
from sslth.subset_sum.solve import solve
from sslth.subset_sum.verify import verify

__all__ = ["Worker", "available_cores"]

GRACE = 5.0  # seconds after the time limit until the kill
PREPARATION = 300.0  # seconds for drawing, importing and compiling
_TRIALS_A_PROCESS = 100  # what a peer leaks does not outlive these
_WARM_ROWS = 2_000
_WARM_SEED = 2**40  # no instance of the study
_WARM_INSTANCES = 4  # which kernels a solver needs may depend on the instance
_SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def available_cores(count: int) -> list[int]:
    """The last `count` cores that this process may use (the first ones serve interrupts); [] where none are told."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))[-count:]


class Worker:
    """One child process at a time; use it as a context manager.

    A trial that is not back `GRACE` seconds after its time limit is killed with everything that it started. The child
    dies with this process, also after `kill -9` (Linux).
    """

    def __init__(self, threads: int, grace: float = GRACE) -> None:
        self.threads = threads
        self.grace = grace
        self._process: Any = None
        self._pipe: Connection | None = None
        self._trials = 0

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the child and all that it started."""
        if self._process is not None and self._process.pid is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def run(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a trial (or of a reference measurement); a refusal and a killed or dead child are results too.

        Raises
        ------
        RuntimeError
            If the contestant raised; with its message.
        """
        if self._trials >= _TRIALS_A_PROCESS:
            self.stop()
        if self._process is None:
            self._start()
        assert self._pipe is not None
        self._trials += 1
        with suppress(OSError):  # a dead child is seen below, where it would answer
            self._pipe.send(dict(trial))
        limit = trial.get("time_limit", PREPARATION)
        deadline, started = time.monotonic() + PREPARATION, math.nan
        while True:
            try:
                if not self._pipe.poll(max(0.0, deadline - time.monotonic())):
                    self.stop()
                    return _nothing(time.monotonic() - started, _killed(limit, self.grace, started))
                what, content = self._pipe.recv()
            except (EOFError, OSError):
                self._process.join(10.0)
                code = self._process.exitcode
                self.stop()
                return _nothing(time.monotonic() - started, f"the process died, exit status {code}")
            if what == "started":
                started = time.monotonic()
                deadline = started + limit + self.grace
            elif what == "failed":
                raise RuntimeError(content)
            else:
                return dict(content)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.threads), daemon=False)
        with _environment(self.threads):
            self._process.start()
        theirs.close()
        self._trials = 0


def _nothing(seconds: float, note: str) -> dict[str, Any]:
    # NaN seconds: it never came to the timed part
    return {"error": math.inf, "seconds": seconds, "claimed_optimal": False, "claimed_bound": 0.0, "note": note}


def _killed(limit: float, grace: float, started: float) -> str:
    if math.isnan(started):
        return f"killed after {PREPARATION:g} s of preparation"
    return f"killed {grace:g} s after the limit of {limit:g} s"


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """What a child inherits; libraries read these when they are first imported."""
    before = {name: os.environ.get(name) for name in _SINGLE_THREADED}
    os.environ.update(dict.fromkeys(_SINGLE_THREADED, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# ------------------------------------------------------------------------------------------ inside the child


def _serve(pipe: Connection, threads: int) -> None:
    """Answer trials until the pipe closes."""
    parent = os.getppid()
    os.setsid()  # Ctrl-C reaches the parent only; a kill reaches what peers have started
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            return
    _pin(available_cores(threads))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # some peers print
    os.dup2(silence, 2)
    runner = _Runner(pipe, threads)
    while True:
        try:
            trial = pipe.recv()
        except EOFError:
            return
        answer: tuple[str, Any]
        try:
            answer = ("result", measure_reference(trial) if trial["kind"] == REFERENCE else runner.run(trial))
        except InvalidInputError as refusal:  # a solver that finds only now that it cannot take the instance
            answer = ("result", _nothing(math.nan, str(refusal)) | {"refused": True})
        except Exception as problem:  # whatever a contestant raises is its failure, not the study's
            answer = ("failed", " ".join(f"{type(problem).__name__}: {problem}".split()))
        pipe.send(answer)


def _pin(cores: list[int]) -> None:
    """Every thread that is there already; later ones inherit it."""
    if not cores:
        return
    tasks = Path("/proc/self/task")
    for task in tasks.iterdir() if tasks.is_dir() else [Path("0")]:
        with suppress(OSError):
            os.sched_setaffinity(int(task.name), cores)


class _Runner:
    """Runs trials and keeps the last instance, because those of one instance come together."""

    def __init__(self, pipe: Connection, threads: int) -> None:
        self.pipe = pipe
        self.threads = threads
        self.revision = _revision()
        self._last: tuple[Problem, Instance] | None = None
        self._warm: set[tuple[Contestant, Cell | None]] = set()

    def run(self, trial: Mapping[str, Any]) -> dict[str, Any]:
        problem = Problem(Cell(trial["law"], trial["d"], trial["n"], trial["cardinality"]), trial["seed"])
        contestant = Contestant(Side(trial["side"]), trial["solver"])
        instance = self._instance(problem)
        self._warm_up(contestant, problem.cell)
        result: dict[str, Any] = {}
        for _ in range(2):  # again if something was compiled while the clock ran
            self.pipe.send(("started", None))
            with _compilations() as compiled:
                result = self._timed(contestant, instance, trial["time_limit"])
            if not compiled:
                break
        return result | {"revision": self.revision, "compiled": bool(compiled)}

    def _timed(self, contestant: Contestant, instance: Instance, time_limit: float) -> dict[str, Any]:
        started = time.perf_counter()
        if contestant.side is Side.PEER:
            answer = PEERS[contestant.name](instance, time_limit, self.threads)
            seconds = time.perf_counter() - started
            subset, optimal, bound, note = answer.subset, answer.claimed_optimal, answer.claimed_bound, answer.note
            more: dict[str, Any] = {"work": 0, "found_by": contestant.name}
        else:
            solution = solve(instance, contestant.name, time_limit=time_limit)
            seconds = time.perf_counter() - started
            subset, optimal, bound = solution.subset, solution.status is Status.OPTIMAL, solution.lower_bound
            note = solution.stats["stopped_by"]
            more = {"work": int(solution.stats["work"]), "found_by": solution.solver}
        error, size, complaint = _verified(instance, subset)
        return {
            "error": error,
            "size": size,
            "seconds": seconds,
            "claimed_optimal": bool(optimal),
            "claimed_bound": 0.0 if bound is None else float(bound),
            "note": "; ".join(text for text in (note, complaint) if text),
            **more,
        }

    def _instance(self, problem: Problem) -> Instance:
        if self._last is None or self._last[0] != problem:
            self._last = None  # two large ones do not fit
            self._last = problem, problem.draw()
        return self._last[1]

    def _warm_up(self, contestant: Contestant, cell: Cell) -> None:
        """Import, compile, and load from the cache on disk before any clock runs."""
        is_peer = contestant.side is Side.PEER
        shape = (contestant, None if is_peer else cell)  # a peer is warm once it is imported
        if shape in self._warm:
            return
        self._warm.add(shape)
        large = [(_WARM_ROWS, _WARM_ROWS // 4, 0.1, seed) for seed in range(_WARM_INSTANCES)]
        for rows, size, limit, seed in [(12, 3, 1.0, 0)] if is_peer else [(12, 3, 0.1, 0), *large]:
            n = min(rows, cell.n)
            k = None if cell.cardinality is None else min(size, cell.cardinality)
            problem = Problem(replace(cell, n=n, cardinality=k), _WARM_SEED + seed)
            if contestant.refusal(problem) is None:
                with suppress(Exception):  # if it fails it will fail again, on the record
                    self._timed(contestant, problem.draw(), limit)


def _verified(instance: Instance, subset: Any) -> tuple[float, int, str]:
    """Error, number of rows, and what is wrong with the answer; inf without a valid subset."""
    if subset is None:
        return math.inf, 0, "no subset"
    try:
        certificate = verify(instance, subset)
    except InvalidInputError as mistake:
        return math.inf, 0, f"not a subset: {mistake}"
    size = int(certificate.subset.size)
    if not certificate.has_wanted_size:
        return math.inf, size, f"{size} rows, which is not the wanted number"
    return certificate.error, size, ""


@contextmanager
def _compilations() -> Iterator[list[Any]]:
    """The kernels that numba compiles meanwhile; loads from its cache on disk do not count."""
    from numba.core import event

    compiled: list[Any] = []
    with event.install_recorder("numba:compile") as recorder:
        yield compiled
    compiled.extend(recorder.buffer)


def _revision() -> str:
    """Which code was measured: a hash of all sources of `sslth.subset_sum`."""
    digest = hashlib.sha256()
    for path in sorted(Path(sys.modules["sslth.subset_sum"].__path__[0]).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
