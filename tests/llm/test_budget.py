"""The purse: what is set aside counts, what is used up to the last token is allowed, and what is over is given back."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from hardneg.data.chat import Usage, ignored, unlimited
from hardneg.llm.budget import Budget, current, limited
from hardneg.llm.connection import Connection
from hardneg.llm.openai import OpenAI


@pytest.mark.parametrize(("cap", "unit"), [("max_tokens", (1, 0.0)), ("max_cost", (0, 0.25))])
def test_the_cap_itself_is_reached_and_never_passed(cap: str, unit: tuple[int, float]) -> None:
    def times(number: int) -> tuple[int, float]:
        return number * unit[0], number * unit[1]

    purse = Budget(**{cap: max(times(8))})
    purse.settle(0, 0.0, Usage(1, times(3)[0], cost=times(3)[1]))
    assert not purse.reserve(*times(6)), "what is spent counts"
    assert purse.reserve(*times(4))
    assert not purse.reserve(*times(2)), "what is set aside counts"
    assert purse.reserve(*times(1)), "the cap is met exactly"
    assert not purse.reserve(*times(1))
    purse.settle(*times(4), Usage())
    assert not purse.reserve(*times(5))
    assert purse.reserve(*times(4)), "what was set aside and not used is there again"


def test_what_was_set_aside_makes_place_for_what_was_used() -> None:
    purse = Budget()
    assert purse.reserve(80, 0.5)
    assert purse.reserve(20, 0.25)
    purse.settle(80, 0.5, Usage(1, 30, 10, cost=0.125))
    assert (purse.reserved_tokens, purse.reserved_cost) == (20, 0.25)
    assert (purse.spent.tokens, purse.spent.cost) == (40, 0.125)


def test_sums_are_made_by_one_thread_at_a_time() -> None:
    purse, held = Budget(max_tokens=100), []

    class Watching(int):
        """A number that notes, when something is added to it or taken from it, whether the lock is held."""

        def __radd__(self, other: int) -> int:
            held.append(purse._lock.locked())
            return int(self) + other

        def __rsub__(self, other: int) -> int:
            held.append(purse._lock.locked())
            return other - int(self)

    purse.reserve(Watching(10), 0.0)
    purse.settle(Watching(10), 0.0, Usage())
    assert len(held) == 3
    assert all(held)


def test_a_budget_holds_inside_its_block_alone() -> None:
    with limited(Budget(max_tokens=5)) as outer:
        with limited(Budget(max_tokens=9)) as inner:
            assert current() is inner
        assert current() is outer
    assert current().max_tokens is None


def test_rates_are_kept_to_the_part_of_the_job_that_is_this_process() -> None:
    """A quarter of the job may ask a quarter of what the client may ask in a minute."""
    client = OpenAI(model="any", base_url="http://127.0.0.1:9/v1", requests_per_minute=400, tokens_per_minute=4_000)
    purse = Budget(max_tokens=1_000, max_cost=2.0)
    purse.narrow(3, 12)
    assert (purse.max_tokens, purse.max_cost) == (250, 0.5)
    with limited(purse), Connection(client, SecretStr("none"), ignored, unlimited) as connection:
        rates = [rate.max_rate * 60 / rate.time_period for rate in connection._pace._rates if rate is not None]
    assert rates == pytest.approx([100, 1_000])
