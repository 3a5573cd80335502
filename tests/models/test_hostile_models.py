"""Folders of models that would run code: none of it runs, and no pickle is read, unless the job says so."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardneg.data.chat import Message, Request, Sampling
from hardneg.errors import HardnegError, ModelError, PartError
from hardneg.llm.tokens import count_tokens
from hardneg.models.sentence_transformers import CrossEncoder, Encoder

CLASSES = {
    "AutoConfig": "evil.Config",
    "AutoModel": "evil.Model",
    "AutoModelForSequenceClassification": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", "evil.Tokenizer"],
    "AutoProcessor": "evil.Processor",
}
TRUST = {"trust_remote_code": True}
Edit = Callable[[Path], None]


def entries(name: str, **values: Any) -> Edit:
    """Writes these entries into a JSON file of the model."""

    def edit(model: Path) -> None:
        file = model / name
        file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | values))

    return edit


def module(number: int, kind: str) -> Edit:
    """Names another class for a module of the model."""

    def edit(model: Path) -> None:
        modules = json.loads((model / "modules.json").read_text())
        modules[number]["type"] = kind
        (model / "modules.json").write_text(json.dumps(modules))

    return edit


NAMESPACE = "sentence_transformers."
HOSTILE: dict[str, list[Edit]] = {
    "a module": [module(1, "evil.Pooling")],
    "a module of a router": [
        module(0, NAMESPACE + "base.modules.router.Router"),
        entries("router_config.json", types={"q": "evil.Pooling"}, structure={"query": ["q"]}, parameters={}),
    ],
    "a tokenizer of words": [
        module(0, NAMESPACE + "sentence_transformer.modules.word_embeddings.WordEmbeddings"),
        entries("wordembedding_config.json", tokenizer_class="evil.Tokenizer"),
    ],
    "an architecture": [entries("config.json", auto_map=CLASSES, model_type="evil")],
    "an architecture of a known name": [entries("config.json", auto_map=CLASSES)],
    "a tokenizer": [entries("tokenizer_config.json", auto_map=CLASSES, tokenizer_class="Tokenizer")],
    "a processor": [entries("processor_config.json", auto_map=CLASSES, processor_class="Processor")],
    "a config that trusts itself": [
        entries("config.json", auto_map=CLASSES, model_type="evil", **TRUST),
        entries("sentence_bert_config.json", model_args=TRUST, config_args=TRUST, tokenizer_args=TRUST),
        entries("sentence_bert_config.json", model_kwargs=TRUST, config_kwargs=TRUST, processor_kwargs=TRUST),
    ],
    "a kernel": [entries("config.json", _attn_implementation_internal="evil/kernel")],
    "an activation": [entries("config.json", sentence_transformers={"activation_fn": "evil.activation"})],
}


@pytest.fixture
def hostile(
    tmp_path: Path, tiny_encoder: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[Edit]], tuple[Path, Path]]:
    """A copy of a model with these edits, and the file that its code would write. The code can be imported by name."""

    def make(edits: list[Edit]) -> tuple[Path, Path]:
        model, mark = tmp_path / "model", tmp_path / "ran"
        shutil.copytree(tiny_encoder, model)
        (model / "evil.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).write_text('x')\n")
        for edit in edits:
            edit(model)
        monkeypatch.syspath_prepend(model)
        monkeypatch.chdir(model)
        return model, mark

    yield make
    sys.modules.pop("evil", None)


@pytest.mark.parametrize("case", HOSTILE)
def test_no_code_of_a_model_runs(hostile: Callable[..., tuple[Path, Path]], case: str) -> None:
    model, mark = hostile(HOSTILE[case])
    cross = shutil.copytree(model, model.parent / "cross")
    (cross / "modules.json").unlink()
    entries("config.json", architectures=["BertForSequenceClassification"])(cross)
    request = Request((Message("user", "hello"),), Sampling(1))
    for use in (
        lambda: Encoder(model=str(model)).encode(["the cat"], "query"),
        lambda: CrossEncoder(model=str(cross)).predict(["the cat"], ["a mat"]),
        lambda: count_tokens(str(model), None, request),
    ):
        try:
            use()
        except (HardnegError, ValueError, KeyError):
            pass  # most of them cannot be loaded then
        assert not mark.exists()


def test_the_code_of_a_model_runs_where_the_job_says_so(hostile: Callable[..., tuple[Path, Path]]) -> None:
    model, mark = hostile(HOSTILE["a module"])
    with pytest.raises(ModelError, match="say `trust_remote_code: true`"):
        Encoder(model=str(model)).encode(["the cat"], "query")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Encoder(model=str(model), trust_remote_code=True).encode(["the cat"], "query")
    assert mark.exists()


class Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.mark, "x")


@pytest.mark.parametrize("place", [".", "2_Dense"])
@pytest.mark.parametrize("kind", ["tiny_encoder", "tiny_cross_encoder"])
def test_a_pickle_is_not_read(request: pytest.FixtureRequest, tmp_path: Path, kind: str, place: str) -> None:
    model, mark = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(request.getfixturevalue(kind), model)
    (model / "model.safetensors").unlink(missing_ok=place == "2_Dense")
    (model / place).mkdir(exist_ok=True)
    (model / place / "pytorch_model.bin").write_bytes(pickle.dumps(Code(mark)))
    use = {
        "tiny_encoder": lambda: Encoder(model=str(model)).encode(["the cat"], "query"),
        "tiny_cross_encoder": lambda: CrossEncoder(model=str(model)).predict(["the cat"], ["a mat"]),
    }[kind]
    with pytest.raises(ModelError, match=r"pytorch_model.bin` is a pickle.*safetensors.*`pickled_weights: true`"):
        use()
    assert not mark.exists()


def test_a_pickle_is_read_where_the_job_says_so(tiny_encoder: str, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    model = tmp_path / "model"
    shutil.copytree(tiny_encoder, model)
    tensors = safetensors.torch.load_file(model / "model.safetensors")
    torch.save(tensors, model / "pytorch_model.bin")
    expected = Encoder(model=tiny_encoder).encode(["the cat"], "query")
    beside = Encoder(model=str(model))
    assert (beside.encode(["the cat"], "query") == expected).all(), "the safetensors are there too, and are read"
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="is a pickle"):
        Encoder(model=str(model)).encode(["the cat"], "query")
    assert (Encoder(model=str(model), pickled_weights=True).encode(["the cat"], "query") == expected).all()


def test_a_sentence_transformers_that_trusts_folders_is_refused(
    tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder, tmp_path / "model")
    monkeypatch.setattr("sentence_transformers.__version__", "5.9.9")
    with pytest.raises(PartError, match=r"5\.9\.9 runs the code of any model folder; install 6\.0 or later"):
        Encoder(model=str(tmp_path / "model"), max_seq_length=9).encode(["the cat"], "query")
