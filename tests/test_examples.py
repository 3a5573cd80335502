"""Every example runs, and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SHOWN = {
    "filter_n_tuples.py": "refused: The novel 1984 is by George Orwell. | margin:",
    "filter_dataset.py": "'negative_2': 'Brave New World is a novel by Huxley.'",
    "filter_in_ray.py": "'negative': 'Rivers flow.'",
    "filter_in_datatrove.py": "who wrote 1984 -> ['Rivers flow.']",
    "filter_in_distilabel.py": "'negatives': ['Rivers flow.']",
    "train_from_pairs.py": "trained",
}


SLOW = dict.fromkeys(("filter_in_ray.py", "train_from_pairs.py"), pytest.mark.engines)


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW.get(name, ())) for name in SHOWN])
def test_it_runs_and_shows(name: str, minilm: str, tmp_path: Path) -> None:
    assert len((EXAMPLES / name).read_text().splitlines()) <= 30
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), minilm],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert SHOWN[name] in done.stdout
