"""What a process with a share of a job may spend, and how fast it may ask: its part of what the whole job may."""

from __future__ import annotations

from hardneg import progress
from hardneg.llm import budget
from hardneg.pipeline.plan import Plan
from hardneg.protocols import clients_of


def keep_to(plan: Plan, own: int, of: int) -> None:
    """Keeps to ``own`` of ``of`` shards, and says how much that is."""
    purse = budget.current()
    tokens, cost = purse.max_tokens, purse.max_cost
    purse.narrow(own, of)
    said = [
        f"{part:,} of {whole:,} {what}"
        for part, whole, what in ((purse.max_tokens, tokens, "tokens"), (purse.max_cost, cost, "in money"))
        if part is not None
    ]
    if said:
        progress.note(f"budget: {own:,} of {of:,} shards may use {'; '.join(said)}")
    clients = [client for part in (*plan.generators.values(), *plan.scorers.values()) for client in clients_of(part)]
    for name, client in {client.identity(): client for client in clients}.items():
        rates = [
            f"{rate * purse.part:,.4g} of {rate:,.4g} {what}"
            for what in ("requests", "tokens")
            if (rate := getattr(client, f"{what}_per_minute", None)) is not None
        ]
        if rates:
            progress.note(f"`{name}`: {own:,} of {of:,} shards may send {' and '.join(rates)} a minute")
