"""Every extension point, on one page.

One rule for all: what comes out is aligned with what went in. A part answers; the pipeline does the bookkeeping
(origins, counts, reasons, files). A part knows neither its name in the job, nor files of the run, nor the engine.

A part may have ``identity() -> str``, when its results depend on more (or less) than its fields: a model's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeGuard, TypeVar, runtime_checkable

from hardneg.arrays import Float32, Float64, Int64, Vectors
from hardneg.data.batch import Batch
from hardneg.data.candidates import Candidates, Scores, Selection, Verdicts
from hardneg.data.chat import Completion, Prices, Question, Request
from hardneg.data.corpus import Corpus
from hardneg.data.records import Example, Passage, Read
from hardneg.kinds import Kind, parts_in

Role = Literal["query", "passage"]


@runtime_checkable
class Reader(Protocol):
    """Where the examples and the corpus come from. Reads everything twice at most, and streams."""

    def files(self) -> list[Path]:
        """The files whose content decides what is read. Raises `DataError` when one is missing."""
        ...

    def passages(self) -> Iterator[Read[Passage]]:
        """The corpus, in an order that is always the same."""
        ...

    def examples(self, corpus: Corpus, empty: frozenset[str]) -> Iterator[Read[Example]]:
        """The examples. ``corpus`` is made of `passages`; ``empty`` holds the ids of those left out as empty."""
        ...


@runtime_checkable
class Judged(Protocol):
    """A reader that may know more judgments than the job may: they measure the result and decide nothing."""

    def judgments(self) -> Mapping[str, Mapping[str, int]] | None:
        """A grade by query id and passage id, or None."""
        ...

    def judged_by(self) -> str | None:
        """A hash of the judgments, or None."""
        ...


@runtime_checkable
class Generator(Protocol):
    """Proposes negatives."""

    def generate(self, batch: Batch) -> Candidates:
        """Candidates for every example of the batch, best first; fewer than asked for where there are no more."""
        ...


class Approximation(NamedTuple):
    """What is to be measured of an approximate search: the ``kind`` of its index, how many neighbours it looks for, on
    how many ``queries`` that is checked, and the ``key`` that makes it find more when it is raised.
    """

    kind: str
    depth: int
    queries: int
    key: str


@runtime_checkable
class Approximate(Generator, Protocol):
    """A generator that may miss some of what it looks for, and can say how much."""

    @property
    def approximation(self) -> Approximation | None:
        """None where its search is exact, or is not to be checked."""
        ...

    def recall(self, corpus: Corpus, queries: Sequence[str], offsets: Int64, barred: Int64) -> Float64:
        """Float64 [n]: which share of what an exact search finds for each query it finds too. Rows ``barred`` (those of
        query i between two ``offsets``) are not to be found.
        """
        ...


@runtime_checkable
class Partitioned(Generator, Protocol):
    """A generator that can search a corpus part by part, so that no process needs more than one part at a time."""

    @property
    def parts(self) -> int:
        """How many parts there are; with 1 it is asked by `generate` alone. They change no result."""
        ...

    def prepare(self, corpus: Corpus, number: int) -> None:
        """Makes what the search of part ``number``, from 0, needs, unless it is there. Several processes may each make
        a part at the same time.
        """
        ...

    def generate_part(self, batch: Batch, number: int) -> Candidates:
        """What part ``number``, from 0, has for every example of the batch, as rows of the whole corpus.

        A corpus may have fewer passages than there are parts: some parts are empty then.
        """
        ...

    def merged(self, batch: Batch, found: Sequence[Candidates]) -> Candidates:
        """What `generate` gives, from what was ``found`` in each part."""
        ...


@runtime_checkable
class Asker(Generator, Protocol):
    """A generator that can be told what was refused, and asked again."""

    @property
    def rounds(self) -> int:
        """How many rounds may follow the first one."""
        ...

    def missing(self, judged: Batch, name: str) -> Int64:
        """Int64 [n]: how many of its candidates, called ``name`` in the batch, each example lacks."""
        ...

    def again(self, batch: Batch, judged: Batch, name: str, number: int) -> Candidates:
        """Candidates for the examples that lack some, in round ``number``, from 1.

        ``batch`` is what `generate` was given. ``judged`` holds the earlier candidates with the verdicts on them.
        """
        ...


@runtime_checkable
class Scorer(Protocol):
    """Says how relevant candidates and positives are to their queries. Higher is more relevant."""

    def score(self, batch: Batch) -> Scores: ...


@runtime_checkable
class CosineScorer(Scorer, Protocol):
    """A scorer whose scores are the cosine similarities of an encoder: a target that makes eci_sem possible."""

    @property
    def cosine(self) -> Encoder:
        """The encoder whose cosine similarities the scores are."""
        ...


@runtime_checkable
class Lazy(Scorer, Protocol):
    """A scorer that may be asked about some candidates only. What it says of one does not depend on the others."""

    @property
    def lazy(self) -> bool:
        """Whether it is asked about those alone that selection comes to."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Says which candidates are to be dropped, and why. Looks at stored numbers and texts; runs no model again."""

    def judge(self, batch: Batch) -> Verdicts: ...


@runtime_checkable
class Threshold(Filter, Protocol):
    """A filter that compares one scorer's numbers with a bound. `hardneg tune` draws its curves."""

    @property
    def scorer(self) -> str: ...

    @property
    def rule(self) -> str: ...

    @property
    def threshold(self) -> float: ...


@runtime_checkable
class Estimator(Scorer, Protocol):
    """A scorer whose scores are probabilities of being relevant: the report tells from it how many are false."""

    @property
    def estimates(self) -> float:
        """The standard deviation of what all log odds have in common: how sure the probabilities are."""
        ...


@runtime_checkable
class Learner(Protocol):
    """A filter or scorer that must know something of the whole job before it looks at a part of it."""

    @property
    def learns(self) -> bool:
        """Whether there is something to learn; `learn` is not called otherwise."""
        ...

    def learn(self, batches: Iterable[Batch]) -> dict[str, Any]:
        """Values of fields, as JSON, that the part is given before its work. Sees all batches of the job, once."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Chooses the final negatives among `Batch.kept`."""

    @property
    def per_query(self) -> int:
        """How many negatives an example is to have."""
        ...

    def select(self, batches: Iterable[Batch]) -> Iterator[Selection]:
        """One selection a batch. Sees all batches of the job, in order, so it can keep count over all of them."""
        ...


@runtime_checkable
class Independent(Selector, Protocol):
    """A selector that may choose example by example, and again without some of what it did not choose."""

    @property
    def independent(self) -> bool:
        """Whether a choice stays the same when candidates that are not in it go, whatever other examples have."""
        ...


@runtime_checkable
class Export(Protocol):
    """Writes the training files of one family of trainers."""

    def write(self, batches: Iterable[Batch], folder: Path) -> dict[str, Any]:
        """Writes into an empty ``folder``; returns counts and remarks for the report."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """A bi-encoder.

    The embeddings of one with the attribute ``precision = "float16"`` are rounded to that and kept so. The identity
    must tell.
    """

    def identity(self) -> str:
        """Stands for weights and settings: equal identities give equal embeddings."""
        ...

    def encode(self, texts: Sequence[str], role: Role) -> Float32:
        """Float32 [len(texts), d], rows of unit length.

        A row that is not finite or not of unit length is refused with its text, and so is another d than before.
        """
        ...

    def encode_tokens(self, texts: Sequence[str], role: Role) -> list[Float32]:
        """A float32 [tokens, d] a text, one token at least, rows of unit length."""
        ...


Find = Callable[[Float32, int], Int64]
"""Of queries [n, d] and a count the rows [n, count] of what an index finds near each, none twice, -1 where it finds
fewer. What it gives a query does not depend on the others.
"""


@runtime_checkable
class Index(Protocol):
    """An index over the embeddings of a corpus, for a search that may miss some of the nearest."""

    key: ClassVar[str]
    """The field that makes a search find more when it is raised."""

    @property
    def check(self) -> int:
        """The number of queries on which the job says how many are found. 0: none."""
        ...

    def identity(self) -> str:
        """The version of what builds it."""
        ...

    def settings(self) -> list[Any]:
        """What decides the index, beside the vectors, as JSON. What decides a search alone is not in it."""
        ...

    def build(self, folder: Path, vectors: Vectors) -> None:
        """Writes the index of ``vectors`` [N, d], of unit length, into an empty ``folder``."""
        ...

    def opened(self, folder: Path) -> Find: ...


@runtime_checkable
class PairScorer(Protocol):
    """A model that reads a query and a passage together."""

    def identity(self) -> str: ...

    def predict(self, queries: Sequence[str], passages: Sequence[str]) -> Float32:
        """Float32 [k]: the relevance of ``passages[i]`` to ``queries[i]``, on the model's own scale; finite."""
        ...


@runtime_checkable
class LLMClient(Protocol):
    """Asks a language model."""

    def identity(self) -> str:
        """Stands for the model: equal identities may answer for each other. Where the server is does not count."""
        ...

    @property
    def prices(self) -> Prices | None: ...

    @property
    def max_failed(self) -> float:
        """The share of requests that may fail for reasons that pass; more stop the run."""
        ...

    def complete(
        self,
        requests: Iterable[Request],
        arrived: Callable[[Request, Completion], None] = ...,
        lost: Callable[[Request], bool] = ...,
    ) -> Iterator[Completion]:
        """One completion a request, in order; concurrent inside, with bounded look-ahead on ``requests``.

        ``arrived`` is called the moment an answer is there, maybe from another thread and out of order. A request that
        failed for good is a completion with an ``error``; a server that is gone raises `ModelError`. ``lost`` is called
        for each answer that may have been paid and did not arrive; where it says False, the request is not sent again.
        """
        ...


@runtime_checkable
class Asks(Protocol):
    """A generator or scorer that asks a language model, and can say beforehand what it will ask."""

    @property
    def client(self) -> LLMClient: ...

    def preview(self, batch: Batch) -> list[tuple[Question, int]]:
        """The questions about a batch, each with the number of tokens that its answer will probably have.

        A scorer is given candidates to grade. A generator is given the candidates that its ``context`` names.
        """
        ...


def learns(part: object) -> TypeGuard[Learner]:
    """Whether a part is to be shown the whole job before it judges any of it."""
    return isinstance(part, Learner) and part.learns


def partitioned(part: object) -> TypeGuard[Partitioned]:
    """Whether a generator searches the corpus part by part."""
    return isinstance(part, Partitioned) and part.parts > 1


def clients_of(part: object) -> list[LLMClient]:
    """The clients nested in a part: empty for one that asks no language model."""
    return [inner for inner in parts_in(part) if isinstance(inner, LLMClient)]


T = TypeVar("T")
R = TypeVar("R")


@runtime_checkable
class Engine(Protocol):
    """Maps a function over shards, on this machine or on many."""

    def map(
        self, function: Callable[[T], R], shards: Sequence[T], *, stage: str = "", folders: Sequence[Path] = ()
    ) -> Iterator[R]:
        """``function(shard)`` of every shard, as each is done, in any order. The function can be pickled, and running
        it twice on one shard does no harm. Raises `WorkerError` for shards that kill every process, when all others
        are done. ``stage``: the name of the stage. ``folders``: what every process must see.
        """
        ...

    def close(self) -> None:
        """Gives back what other work may need, until `map` is called again: before a language model is asked, and when
        all shards are done.
        """
        ...


AnyReader = Annotated[Reader, Kind("readers")]
AnyGenerator = Annotated[Generator, Kind("generators")]
AnyScorer = Annotated[Scorer, Kind("scorers")]
AnyFilter = Annotated[Filter, Kind("filters")]
AnySelector = Annotated[Selector, Kind("selectors")]
AnyExport = Annotated[Export, Kind("exports")]
AnyEncoder = Annotated[Encoder, Kind("encoders")]
AnySearch = Annotated[Literal["blocks", "faiss", "torch"] | Index, Kind("indexes", "blocks", "faiss", "torch")]
AnyPairScorer = Annotated[PairScorer, Kind("pair_scorers")]
AnyLLMClient = Annotated[LLMClient, Kind("clients")]
AnyEngine = Annotated[Engine, Kind("engines")]
