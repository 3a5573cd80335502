"""What would stop a job although its document is valid: found before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hardneg.data.chat import Message, Request, Sampling
from hardneg.errors import HardnegError
from hardneg.job.run_folder import Job
from hardneg.protocols import LLMClient, clients_of


def problems(job: Job) -> Iterator[str]:
    """Folders that cannot be written, and keys that are not set."""
    for key, folder in (("output", job.output), ("cache", job.pipeline.cache.root)):
        there = nearest(folder)
        if not there.is_dir():
            yield f"{key}: {there} is a file, so {folder} cannot be made"
        elif not os.access(there, os.W_OK | os.X_OK):
            yield f"{key}: {there} cannot be written; choose another folder"
    for name in sorted({name for client in _clients(job) if (name := getattr(client, "api_key_env", None))}):
        if not os.environ.get(name, "").strip():
            yield f"the environment variable `{name}` (`api_key_env`) holds no key; set it"


def unanswered(job: Job) -> Iterator[str]:
    """Models that do not answer one short question, with the reason."""
    question = Request((Message("user", "Say yes."),), Sampling(max_tokens=8))
    for client in _clients(job):
        if problem := _problem_of(client, question):
            yield f"model `{getattr(client, 'model', client)}`: {problem}"


def _problem_of(client: LLMClient, question: Request) -> str | None:
    try:
        [answer] = client.complete(iter([question]))
    except HardnegError as error:
        return str(error)
    return answer.error


def _clients(job: Job) -> list[LLMClient]:
    return clients_of([*job.plan.generators.values(), *job.plan.scorers.values()])


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
