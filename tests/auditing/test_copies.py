"""Near copies: the quick look at words never hides one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hardneg.auditing.copies import _can_be_near, _nearest, similarity
from hardneg.auditing.kinds import NEAR

WORDS = st.lists(st.sampled_from([f"w{n}" for n in range(30)]), min_size=1, max_size=80)


@settings(max_examples=300, deadline=None)
@given(WORDS, st.lists(st.tuples(st.integers(0, 79), st.sampled_from(["x", "y", "w1"])), max_size=4))
def test_what_is_near_is_looked_at(words: list[str], edits: list[tuple[int, str]]) -> None:
    other = list(words)
    for place, word in edits:
        other[place % len(other)] = word
    one, two = " ".join(words), " ".join(other)
    near = similarity(one, two)
    assert _can_be_near(one, two) or near < NEAR
    assert (_nearest(one, [two]) >= NEAR) == (near >= NEAR)


def test_case_and_white_space_do_not_count() -> None:
    assert similarity("The  cat sat on the mat", "the cat sat on THE mat") == 1
    assert similarity("no", "yes") == 0
