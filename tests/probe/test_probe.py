"""The probe on made data whose right order is known, and its contract."""

from __future__ import annotations

import numpy as np
import pytest

from hardneg.probe import Recipe, difference, probe


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def task(n: int = 320, seed: int = 0) -> dict[str, np.ndarray]:
    """Passage i answers query i. Of 24 dimensions eight are a topic that eight passages share, eight are the meaning, and
    eight are style, in which query and passage have nothing in common. Only passages of the same topic compete, so only
    they teach that style is to be overlooked.
    """
    rng = np.random.default_rng(seed)
    topics = 3 * np.repeat(rng.standard_normal((n // 8, 8)), 8, axis=0)
    meaning = rng.standard_normal((n, 8))
    styles = 1.5 * rng.standard_normal((2, n, 8))
    queries, passages = (unit(np.hstack([topics, meaning, style])) for style in styles)
    return {"queries": queries, "passages": passages, "positives": np.arange(n)}


def same_topic(n: int) -> list[list[int]]:
    return [[j for j in range(i // 8 * 8, i // 8 * 8 + 8) if j != i] for i in range(n)]


def random_rows(n: int, k: int = 7) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [[int(j) for j in rng.permutation(n)[: k + 1] if j != i][:k] for i in range(n)]


def test_what_teaches_the_difference_is_above_random_passages_and_these_above_answers() -> None:
    data = task()
    n = len(data["queries"])
    copies = unit(data["passages"] + 0.02 * np.random.default_rng(2).standard_normal(data["passages"].shape))
    sets = {
        "same topic": same_topic(n),
        "random": random_rows(n),
        "answers": [[n + i] for i in range(n)],  # a copy of the positive: a false negative of every query
    }

    found = probe(**data, sets=sets, written=copies, recipe=Recipe(shared=False, batch=16, epochs=6))

    assert found["same topic"].score > found["random"].score > found["answers"].score
    apart = difference(found["same topic"], found["answers"])
    assert apart.decided
    assert apart.mean == pytest.approx(found["same topic"].score - found["answers"].score, abs=1e-6)
    assert 0 < apart.low < apart.mean < apart.high


def test_numbers_are_the_same_again_and_do_not_depend_on_the_other_sets() -> None:
    data = task(80)
    both = {"one": same_topic(80), "two": random_rows(80)}

    first, again = probe(**data, sets=both), probe(**data, sets=dict(reversed(both.items())))
    alone = probe(**data, sets={"two": both["two"]})

    np.testing.assert_array_equal(first["two"].values, again["two"].values)
    np.testing.assert_array_equal(first["two"].values, alone["two"].values)
    other = probe(**data, sets=both, seed=1)
    assert not np.array_equal(first["two"].values, other["two"].values)


def test_a_map_that_is_not_moved_gives_the_plain_softmax_and_ndcg() -> None:
    # two dimensions; query i and passage i point the same way, at 0, 90, 180 and 270 degrees
    four = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.float32)
    still = Recipe(rate=1e-12, scale=1.0)

    found = probe(four, four, [0, 1, 2, 1], {"none": [[]] * 4}, recipe=still)["none"]

    right = 1 - np.log(np.e + 1 + 1 + np.exp(-1))  # the positive's cosine is 1, two others' 0, one -1
    wrong = -1 - np.log(np.e + 1 + 1 + np.exp(-1))  # query 3's positive is passage 1, which points the other way
    np.testing.assert_allclose(found.log_likelihoods, [right, right, right, wrong], rtol=1e-5)
    np.testing.assert_allclose(found.ndcgs, [1, 1, 1, 1 / np.log2(5)], rtol=1e-5)  # it is the last of four
    np.testing.assert_allclose(found.values, [1 + right * 0.03] * 3 + [1 / 4 + wrong * 0.03], rtol=1e-5)
    assert found.distractors == 4


def test_sets_may_be_ragged_empty_and_of_any_integer_kind() -> None:
    data = task(80)
    ragged = [np.arange(i % 4, dtype=np.int32) for i in range(80)]

    found = probe(**data, sets={"ragged": ragged, "none": [[] for _ in range(80)]})

    assert all(np.isfinite(score.values).all() for score in found.values())
    assert all(score.low <= score.score <= score.high for score in found.values())


def test_an_own_positive_among_the_negatives_changes_nothing() -> None:
    data = task(80)
    own = [[i] for i in range(80)]

    found = probe(**data, sets={"own": own, "none": [[]] * 80}, recipe=Recipe(shared=False))

    np.testing.assert_allclose(found["own"].values, found["none"].values, atol=1e-4)


def test_written_negatives_are_the_same_as_passages_with_the_same_vectors() -> None:
    data = task(80)
    mined = random_rows(80)
    as_written = [[80 + j for j in row] for row in mined]

    found = probe(**data, sets={"mined": mined, "written": as_written}, written=data["passages"])

    # all but the masking of a written copy of the query's positive, which these sets do not hold
    shared_out = Recipe(shared=False)
    alone = probe(**data, sets={"mined": mined, "written": as_written}, written=data["passages"], recipe=shared_out)
    np.testing.assert_allclose(alone["mined"].values, alone["written"].values, atol=1e-3)
    assert found["written"].distractors == 80  # they are trained on, and not asked about


def test_distractors_are_a_sample_and_the_positives() -> None:
    data = task(240)
    data["queries"], data["positives"] = data["queries"][:40], data["positives"][:40]

    found = probe(**data, sets={"none": [[]] * 40}, distractors=50)["none"]

    assert 50 <= found.distractors <= 90


def test_a_memory_map_is_read_in_part(tmp_path) -> None:
    data = task(80)
    np.save(tmp_path / "passages.npy", data["passages"])
    mapped = np.load(tmp_path / "passages.npy", mmap_mode="r")
    sets = {"random": random_rows(80)}

    found = probe(data["queries"], mapped, data["positives"], sets)

    np.testing.assert_array_equal(found["random"].values, probe(**data, sets=sets)["random"].values)


def test_differences_need_the_same_queries() -> None:
    one = probe(**task(80), sets={"none": [[]] * 80})["none"]
    other = probe(**task(160), sets={"none": [[]] * 160})["none"]

    with pytest.raises(ValueError, match="not of the same queries"):
        difference(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sets": {"short": [[]] * 79}}, "'short' has negatives of 79 queries, not of 80"),
        ({"sets": {"high": [[80]] * 80}}, "'high' has row 80; rows end at 79"),
        ({"sets": {"low": [[-1]] * 80}}, "'low' has row -1"),
        ({"sets": {"half": [[0.5]] * 80}}, "whole numbers"),
        ({"positives": np.arange(79)}, "one row of passages for each of 80"),
        ({"positives": np.arange(80) + 1}, "within 0 and 79"),
        ({"written": np.zeros((1, 3))}, "the same dimensions"),
        ({"queries": np.full((80, 24), np.nan)}, "not finite"),
        ({"passages": np.full((80, 24), np.nan)}, "not finite"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probe(**{**task(80), "sets": {"none": [[]] * 80}, **change})


@pytest.mark.parametrize("change", [{"rate": 0}, {"epochs": 0}, {"repeats": 0}])
def test_a_recipe_is_checked(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        Recipe(**change)


def test_three_queries_are_too_few() -> None:
    four = np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match="at least 4 queries"):
        probe(four[:3], four, [0, 1, 2], {"none": [[]] * 3})
