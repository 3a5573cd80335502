"""What a data card says of the job: how the set was made, and nothing of the machine it was made on."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import WORDS

from hardneg.cli import main
from hardneg.job.document import read
from hardneg.job.published import published

MakeJob = Callable[..., Path]


def test_a_card_has_no_path_no_comment_and_one_fence(
    make_job: MakeJob, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_job(changes={"data.path": str(tmp_path / "data"), "cache": str(tmp_path / "secret-cache")})
    source = path.read_text()
    path.write_text(f"# for Ms Meier, see /home/meier\n{source}\n# ```\n# # Forged heading\n")
    assert main(["run", str(path)]) == 0
    card = (tmp_path / "runs/job/exports/flag/README.md").read_text()
    for private in (str(tmp_path), "secret-cache", "Meier", "meier", "Forged", "workers"):
        assert private not in card
    assert card.count("```") == 2
    block = card.split("```")[1].removeprefix("yaml\n")
    told = yaml.safe_load(block)
    assert told["data"] == {"kind": "beir", "path": "data"}
    assert told["filters"]["safe"] == {"kind": "eci_safety", "scorer": "target", "margin": -0.05}
    assert set(told) == {"data", "generators", "controls", "scorers", "filters", "select", "eci", "exports"}


def test_what_is_asked_is_told_and_where_is_not(make_job: MakeJob, tmp_path: Path) -> None:
    client = {
        "kind": "openai", "model": "org/model", "base_url": "http://localhost:8000/v1", "concurrency": 3,
        "api_key_env": "MY_COMPANY_KEY", "extra": {"top_k": 5},
    }  # fmt: skip
    (tmp_path / "prompt.md").write_text(
        (Path(__file__).parents[2] / "src/hardneg/prompts/hard_negative.v1.md").read_text()
    )
    encoder = {"kind": "sentence_transformers", "model": str(tmp_path / "models" / "mine"), "batch_size": 7}
    named = {"kind": "sentence_transformers", "model": "intfloat/e5-base-v2", "query_prompt": "query: "}
    path = make_job(
        changes={
            "generators.written": {"kind": "llm", "client": client, "prompt": str(tmp_path / "prompt.md")},
            "generators.semantic": {"kind": "dense", "encoder": encoder},
            "scorers.target": {"kind": "bi_encoder", "encoder": named},
            "budget": {"max_tokens": 10},
        }
    )
    document = read(path).document
    told = yaml.safe_load(published(document))
    assert str(tmp_path) not in published(document)
    generators = told["generators"]
    assert generators["written"]["client"] == {"kind": "openai", "model": "org/model", "extra": {"top_k": 5}}
    assert generators["written"]["prompt"] == "prompt.md"
    assert generators["semantic"]["encoder"] == {"kind": "sentence_transformers", "model": "mine"}
    assert told["scorers"]["target"]["encoder"] == named
    assert told["scorers"]["referee"]["model"]["encoder"] == WORDS
