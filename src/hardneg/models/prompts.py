"""What a model wants before a query and before a passage, by its own configuration."""

from __future__ import annotations

import json
from pathlib import Path

from hardneg.errors import ModelError
from hardneg.models import weights
from hardneg.models.steady import NAMES
from hardneg.protocols import Role

CONFIGURATION = "config_sentence_transformers.json"
PATIENCE = 10
"""Seconds that the hub may take to answer."""


def own_prompts(model: str) -> dict[Role, str] | None:
    """The prompts in the configuration of ``model``, a folder or a name on the hub, by role; empty ones are left out.

    Asks the hub for that one small file where it is not here, once. None where it cannot be had. Raises `JobError` for
    a folder that does not exist and `ModelError` for a configuration that is no JSON.
    """
    folder = weights.local(model)
    if folder is None:
        text = _of_the_hub(model)
    else:
        file = folder / CONFIGURATION
        text = file.read_text(encoding="utf-8") if file.is_file() else "{}"
    if text is None:
        return None
    try:
        found = json.loads(text)
        prompts, usual = dict(found.get("prompts") or {}), found.get("default_prompt_name")
    except (ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"model `{model}`: its {CONFIGURATION} cannot be read ({error}); fetch it again") from error
    out: dict[Role, str] = {}
    roles: tuple[Role, ...] = ("query", "passage")
    for role in roles:
        name = next((name for name in (*NAMES[role], usual) if name in prompts), None)
        if name is not None and prompts[name]:
            out[role] = prompts[name]
    return out


def _of_the_hub(model: str) -> str | None:
    """The text of the file; ``{}`` where the model has none, None where the hub does not say."""
    try:
        from huggingface_hub import get_session, hf_hub_url, try_to_load_from_cache
    except ImportError:
        return None
    try:
        if isinstance(file := try_to_load_from_cache(model, CONFIGURATION), str):
            return Path(file).read_text(encoding="utf-8")
        answer = get_session().get(hf_hub_url(model, CONFIGURATION), timeout=PATIENCE, follow_redirects=True)
        missing = answer.status_code == 404 and answer.headers.get("X-Error-Code") == "EntryNotFound"
        return "{}" if missing else str(answer.raise_for_status().text)
    except Exception:  # noqa: BLE001  whatever keeps the hub from answering: an error of one of two HTTP libraries
        return None
