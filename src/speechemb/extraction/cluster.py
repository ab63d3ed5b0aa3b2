"""One extraction on the machines of a Ray cluster: `--ray`.

Ray only schedules. The driver, which is the run of step 2, sends batches to plain actors that hold the model, one for
each GPU or group of cores, and is the only one to write. What a lost actor was computing is given to another one.
Machines may join at any time.

Ray is an extra (`pip install -e .[cluster]`) and is imported only here, when a run begins.
"""

import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd

from speechemb import encoders
from speechemb.artifacts import provenance
from speechemb.encoders import names
from speechemb.errors import InputError, first
from speechemb.extraction.run import Compute, ExtractionRun, embedded

log = logging.getLogger(__name__)

COLUMNS = ["clip_id", "path", "audio_sha256", "augmented_from", "duration_s"]  # what an actor is told about a clip
CORES = 8  # of an actor: with more, threads that share an interpreter wait for each other
POLL_S = 2.0  # seconds between two looks at the machines
CONNECT_S = 10.0
TRIES = 5  # of a batch, or of an actor on a machine, before it counts as the cause


def check_usable(model: str) -> None:
    """Raise an InputError where `--ray` cannot be used."""
    if model.startswith(encoders.FEATURES):
        raise InputError(f"--ray: there is nothing to compute for --model {encoders.FEATURES}...: leave out --ray")
    if find_spec("ray") is None:
        raise InputError("--ray needs Ray, which is not installed: run `pip install -e .[cluster]` on every machine")


@dataclass(frozen=True)
class Wanted:
    """What an actor has to load, and what it has to agree in with the driver."""

    source: str
    device: str
    precision: str
    identity: dict[str, Any]
    layers: list[int]
    methods: list[str]
    code: str
    versions: dict[str, str]


class Worker:
    """The actor: a loaded encoder on one machine."""

    def __init__(self, cores: int) -> None:
        # Before torch and joblib are loaded.
        os.environ.update(OMP_NUM_THREADS=str(cores), LOKY_MAX_CPU_COUNT=str(cores))

    def load(self, wanted: Wanted) -> int:
        """Load the encoder; how many batches it computes at the same time.

        Raises:
            InputError: the encoder, the code or a library is not the driver's.
        """
        versions = provenance.versions()
        differing = [
            name for name in {**versions, **wanted.versions} if versions.get(name) != wanted.versions.get(name)
        ]
        if differing or provenance.code_sha256() != wanted.code:
            raise InputError(f"has another {' and '.join(differing or ['version of this project'])} than the driver")
        found = encoders.load(wanted.source, wanted.device, wanted.precision, wanted.identity.get("context"))
        if not encoders.same_output(wanted.identity, found.identity):
            raise InputError(f"has another encoder at {wanted.source} than the driver")
        self._model, self._wanted = found, wanted
        return found.workers

    def embed(self, clips: dict[str, list]) -> np.ndarray:
        """(clips, layers, dimensions) float32 of one batch."""
        self._model.start_worker()
        try:
            return embedded(self._model, pd.DataFrame(clips), self._wanted.layers, self._wanted.methods)
        except InputError as error:
            raise InputError(str(error)) from None  # its subclasses do not pass between processes


def on_ray(run: ExtractionRun, address: str) -> Compute:
    """A way to compute the batches of `run` on the Ray cluster at `address` ("auto": the one of this machine)."""

    def compute(clips: pd.DataFrame, todo: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        todo = dict(todo)
        if todo and not run.model.settled:  # on the batch on which a run on one machine settles its precision
            number = next(iter(todo))
            yield from run.compute(clips, {number: todo.pop(number)})
        if not todo:
            return
        ray = _connected(address)
        try:
            yield from _Actors(ray, _wanted(run)).compute(clips.loc[:, COLUMNS], todo)
        finally:
            ray.shutdown()

    return compute


def _wanted(run: ExtractionRun) -> Wanted:
    model = run.model
    device = getattr(getattr(model, "device", None), "type", "cpu")
    source = names.at_commit(run.source, model.identity)
    made_by = provenance.code_sha256(), provenance.versions()
    return Wanted(source, device, model.precision, model.identity, run.layers, run.methods, *made_by)


def _connected(address: str) -> Any:
    """Ray, connected."""
    import ray  # pyright: ignore[reportMissingImports]

    host, _, port = address.rpartition(":")
    try:
        if host and port.isdecimal() and "/" not in host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        raise InputError(f"--ray {address}: {why}: start a cluster with `ray start --head`") from None
    return ray


@dataclass(eq=False)
class _Actor:
    handle: Any
    node: str
    slots: int = 0  # batches at a time; 0 while it loads
    busy: int = 0


class _Actors:
    """The actors of a run, and the calls that they have not answered."""

    def __init__(self, ray: Any, wanted: Wanted) -> None:
        self._ray, self._wanted = ray, wanted
        self._actors: list[_Actor] = []
        self._calls: dict[Any, tuple[_Actor, int | None]] = {}  # answer -> who gives it, batch (None: loading)
        self._lost: Counter[int | str] = Counter()  # batch or machine -> actors lost
        self._refused: dict[str, str] = {}  # machine -> why it is not used
        self._looked, self._idle = 0.0, False

    def compute(self, clips: pd.DataFrame, todo: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Number and rows of each batch, as they come."""
        waiting, left = deque(todo), len(todo)
        columns = {name: clips[name].to_numpy() for name in COLUMNS}  # a DataFrame takes ten times as long to slice
        while left:
            if waiting:
                self._grow()
            for actor in self._actors:
                while waiting and actor.busy < actor.slots:
                    number = waiting.popleft()
                    batch = {name: column[todo[number]].tolist() for name, column in columns.items()}
                    answer = actor.handle.embed.remote(batch)
                    self._calls[answer] = actor, number
                    actor.busy += 1
            for number, rows in self._answers():
                if rows is not None:
                    left -= 1
                    yield number, rows
                elif self._lost[number] < TRIES:
                    waiting.appendleft(number)
                else:
                    ids = clips["clip_id"].iloc[todo[number]].tolist()
                    raise InputError(
                        f"--ray: {TRIES} workers ended while computing {first(ids)}: give a smaller --batch-seconds"
                    )

    def _answers(self) -> Iterator[tuple[int, np.ndarray | None]]:
        """Number and rows of the batches answered by now; None for the rows that were lost with their actor."""
        ray = self._ray
        if not self._calls:
            time.sleep(POLL_S)
            return
        ray.wait(list(self._calls), timeout=POLL_S)
        ready, _ = ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for answer in ready:
            actor, number = self._calls.pop(answer)
            try:
                result = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                if not isinstance(error.cause, InputError):
                    raise
                if number is not None:
                    raise InputError(f"{error.cause} (on {self._where(actor.node)})") from None
                self._refuse(actor, str(error.cause))
                continue
            except ray.exceptions.RayError as error:
                self._lose(actor, number, error)
                result = None
            if number is None:
                actor.slots = result or 0
            else:
                actor.busy -= 1
                yield number, result

    def _grow(self) -> None:
        """Start an actor for every GPU or group of cores that has none."""
        if time.monotonic() < self._looked + POLL_S:
            return
        self._looked = time.monotonic()
        nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for name, node in nodes.items():
            cores, gpus = (int(node["Resources"].get(kind, 0)) for kind in ("CPU", "GPU"))
            on_gpu = self._wanted.device == "cuda"
            count = 0 if name in self._refused else gpus if on_gpu else -(-cores // CORES)
            for _ in range(count - sum(actor.node == name for actor in self._actors)):
                self._start(name, max(1, cores // count), int(on_gpu))
        if not self._actors:
            if reasons := [why for name, why in self._refused.items() if name in nodes]:
                raise InputError(f"--ray: no machine can be used: {reasons[0]}")
            if not self._idle:
                log.warning("no machine in the cluster yet: start one with `ray start --address=...`")
            self._idle = True

    def _start(self, node: str, cores: int, gpus: int) -> None:
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": cores, "num_gpus": gpus, "max_concurrency": max(2, cores)}
        handle = self._ray.remote(**options)(Worker).options(scheduling_strategy=strategy).remote(cores)
        actor = _Actor(handle, node)
        self._actors.append(actor)
        self._calls[handle.load.remote(self._wanted)] = actor, None

    def _lose(self, actor: _Actor, number: int | None, error: Exception) -> None:
        """Count what the actor was lost with, and forget it."""
        self._lost[actor.node if number is None else number] += 1
        if number is None and self._lost[actor.node] >= TRIES:
            self._refuse(actor, f"cannot load the encoder ({(str(error).strip().splitlines() or [''])[-1]})")
        self._end(actor)

    def _refuse(self, actor: _Actor, why: str) -> None:
        self._end(actor)
        if actor.node not in self._refused:
            self._refused[actor.node] = f"{self._where(actor.node)} {why}"
            log.warning("not used: %s", self._refused[actor.node])

    def _end(self, actor: _Actor) -> None:
        """Its other calls, if there are any, are answered with errors from now on."""
        if actor in self._actors:
            self._actors.remove(actor)
            with suppress(Exception):  # it is gone
                self._ray.kill(actor.handle)

    def _where(self, node: str) -> str:
        return next((one["NodeManagerHostname"] for one in self._ray.nodes() if one["NodeID"] == node), node)
