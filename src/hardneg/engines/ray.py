"""Shards on a Ray cluster.

The workers are plain actors with a scheduler of our own, not Ray Data's `map_batches`: that one starts its actors anew
for each stage, so that every stage loads its models again, and it tries a batch that kills its actor again without end
and without saying which one it was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import Field

from hardneg.bounds import Count, Positive
from hardneg.errors import MissingExtraError, PartError, WorkerError
from hardneg.kinds import NEUTRAL, part

if TYPE_CHECKING:
    from hardneg.engines.ray_session import Session

T = TypeVar("T")
R = TypeVar("R")
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A finite number from 0 on."""
Concurrency = Count | tuple[Count, Count]


@part
class Workers:
    """What the workers of one stage are. What is left out is as for all stages."""

    concurrency: Concurrency | None = None
    cpus: Positive | None = None
    gpus: Amount | None = None

    def __post_init__(self) -> None:
        _check(self.concurrency, self.gpus)


@part
class Ray:
    """Workers on all machines of a Ray cluster. Each loads a model or maps an index once, and works on one shard at a
    time. The results are those of one process, to the byte.

    ``address``: the cluster's, as Ray takes it (``auto``, ``10.0.0.7:6379``); left out, ``RAY_ADDRESS``, else a cluster
    that is running on this machine, else one that lasts as long as the run. ``runtime_env`` goes to Ray as it is.
    ``concurrency``: the number of workers, or ``[min, max]``: those above min end when no shard waits for them, so that
    a cluster that grows and shrinks can give machines back. Left out: as many as the cluster has room for. ``cpus`` and
    ``gpus``: what a worker occupies; ``gpus: 0.25`` puts four on one GPU, and without any it sees none. It computes
    with as many threads as it has CPUs. ``stages``: by the name of a stage (``generate.semantic``, as `hardneg check`
    has it), where its workers differ.

    A worker that is killed, or whose machine is lost, is replaced, and its shard tried again. Data, models by path,
    ``output`` and ``cache`` must lie on a disk that all machines share, at one path. Needs the extra ``ray``.
    """

    address: str | None = field(default=None, metadata=NEUTRAL)
    runtime_env: Mapping[str, Any] = field(default_factory=dict, metadata=NEUTRAL)
    concurrency: Concurrency | None = field(default=None, metadata=NEUTRAL)
    cpus: Positive = field(default=1, metadata=NEUTRAL)
    gpus: Amount = field(default=0, metadata=NEUTRAL)
    stages: Mapping[str, Workers] = field(default_factory=dict, metadata=NEUTRAL)

    def __post_init__(self) -> None:
        _check(self.concurrency, self.gpus)
        if find_spec("ray") is None:
            raise MissingExtraError("ray", "ray", "`engine: ray`")

    def map(
        self, function: Callable[[T], R], shards: Sequence[T], *, stage: str = "", folders: Sequence[Path] = ()
    ) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done.

        Raises `WorkerError`, when all others are done, for shards that three workers died of, and `JobError` where the
        cluster cannot be joined or a worker does not see the ``folders``.
        """
        if not shards:
            return
        try:
            yield from _session().crew(self, self._of(stage), folders).work(function, shards)
        except WorkerError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the workers and leaves the cluster."""
        if _session.cache_info().currsize:  # else Ray is not even imported
            _session().close()

    def _of(self, stage: str) -> Workers:
        """The workers of a stage; one of a deeper wave has those of the first, a part of one those of the whole."""
        own = self.stages.get(re.split(r"\.deeper|\.part-", stage)[0], Workers())
        return Workers(
            concurrency=own.concurrency or self.concurrency,
            cpus=own.cpus or self.cpus,
            gpus=self.gpus if own.gpus is None else own.gpus,
        )


@lru_cache(maxsize=1)
def _session() -> Session:
    """What this process has on a cluster: kept from stage to stage, so that each worker loads its models once."""
    from hardneg.engines.ray_session import Session

    return Session()


def _check(concurrency: Concurrency | None, gpus: float | None) -> None:
    if isinstance(concurrency, tuple) and concurrency[0] > concurrency[1]:
        raise PartError(f"`concurrency` must be [min, max], not {list(concurrency)}")
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise PartError(f"`gpus` must be a part of one GPU or a whole number of them, not {gpus:g}")
