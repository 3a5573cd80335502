"""The client against a server with 200 ms latency: throughput as a share of the ideal, memory over time.

python bench/llm.py client                 # rounds of requests at concurrency 64, peers in the same run
python bench/llm.py memory                 # resident memory after 1,000 and after 20,000 requests
python bench/llm.py vllm MODEL_FOLDER      # overhead over vllm.LLM.chat on the same prompts
"""

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hardneg.cache.folders import Cache
from hardneg.data.chat import Message, Request, Sampling
from hardneg.llm.openai import OpenAI
from hardneg.llm.questions import Question, ask
from hardneg.prompts.shapes import Passages

LATENCY, CONCURRENCY, COUNT, ROUNDS = 0.2, 64, 4_000, 3


@contextmanager
def server(latency=LATENCY):
    command = [sys.executable, "-m", "hardneg.testing.fault_server", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def questions(count, start=0):
    words = "a passage of some length about the flow of air over a wing " * 8
    return [
        Question(
            (Message("system", words * 3), Message("user", f"{i} {words}")),
            Sampling(300, 0.7, seed=i),
            Passages,
            Passages.schema_for(3),
        )
        for i in range(start, start + count)
    ]


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


async def plain(url, requests, transport):
    import openai

    http = openai.DefaultAioHttpClient() if transport == "aiohttp" else None
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(request):
            async with slots:
                await client.chat.completions.create(
                    model="any",
                    messages=[{"role": m.role, "content": m.content} for m in request.messages],
                    max_tokens=300,
                    response_format={
                        "type": "json_schema",
                        "json_schema": {"name": "answer", "schema": request.schema},
                    },
                )

        await asyncio.gather(*(one(request) for request in requests))


def client():
    ideal = CONCURRENCY / LATENCY
    rates = {}
    with server() as url, TemporaryDirectory() as folder:
        part = OpenAI(model="any", base_url=url, concurrency=CONCURRENCY)
        for number in range(ROUNDS):
            asked = questions(COUNT, number * COUNT)
            requests = [question.request for question in asked]
            runs = {
                "hardneg, with the log, validation and budget": lambda: ask(part, asked, Cache(Path(folder)), "ask"),
                "hardneg, the client alone": lambda: list(part.complete(requests)),
                "openai SDK, aiohttp transport": lambda: asyncio.run(plain(url, requests, "aiohttp")),
                "openai SDK, its default": lambda: asyncio.run(plain(url, requests, "default")),
            }
            for name, run in runs.items():
                rates.setdefault(name, []).append(COUNT / timed(run))
    print(f"{COUNT} requests a round, {LATENCY * 1000:.0f} ms, concurrency {CONCURRENCY}; ideal {ideal:.0f} requests/s")
    for name, found in rates.items():
        rate = statistics.median(found)
        print(f"{name:48} {rate:7.1f}/s  {rate / ideal:6.1%}  ({', '.join(f'{r:.0f}' for r in found)})")


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory():
    """Asks as a job does, a shard of 1,000 after another."""
    with server(0.02) as url, TemporaryDirectory() as folder:
        part = OpenAI(model="any", base_url=url, concurrency=CONCURRENCY)
        for done in range(1, 21):
            answers = ask(part, questions(1_000, done * 1_000), Cache(Path(folder)), "ask")
            assert all(answer.value for answer in answers)
            if done in (1, 2, 5, 10, 20):
                print(f"{done * 1000:6} requests: {resident():7.1f} MiB resident", flush=True)
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.1f} MiB")


def vllm(folder):
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    from hardneg.llm.vllm import VLLM, _engine
    from hardneg.models import weights

    options = {
        "dtype": "float32",
        "max_model_len": 4096,
        "enforce_eager": True,
        "max_num_seqs": 16,
        "structured_outputs_config": {"backend": "guidance"},
    }
    part = VLLM(model=folder, engine=options)
    asked = [Request(q.messages, Sampling(48, 0.0), q.schema) for q in questions(256)]
    list(part.complete(asked[:4]))
    engine = _engine(folder, None, json.dumps(options, sort_keys=True), weights.identity(folder, None))
    chats = [[{"role": m.role, "content": m.content} for m in r.messages] for r in asked]

    def direct():
        parameters = [
            SamplingParams(
                max_tokens=48, temperature=0.0, structured_outputs=StructuredOutputsParams(json=dict(r.schema))
            )
            for r in asked
        ]
        engine.chat(chats, parameters, use_tqdm=False)

    ratios = []
    for number in range(8):
        runs = [("ours", lambda: list(part.complete(asked))), ("direct", direct)]
        found = {name: timed(run) for name, run in (runs if number % 2 else runs[::-1])}
        ratios.append(found["ours"] / found["direct"])
        print({name: f"{seconds:.2f} s" for name, seconds in found.items()}, f"{ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    {"client": client, "memory": memory, "vllm": vllm}[sys.argv[1]](*sys.argv[2:])
