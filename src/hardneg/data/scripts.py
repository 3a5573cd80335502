"""Scripts that put no space between words: Japanese, Chinese, Thai, Lao, Burmese, Khmer."""

from __future__ import annotations

import re
from itertools import pairwise

UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
RUN = re.compile(UNSPACED.pattern + "+")


def spaced(text: str) -> str:
    """The text with every run of such letters as pairs of neighbouring letters, which serve as words.

    Vowel signs and tone marks are left out of the pairs. Other text stays as it is.

    >>> spaced("東京都 tower")
    ' 東京 京都  tower'
    """
    return text if text.isascii() or not UNSPACED.search(text) else RUN.sub(_pairs, text)


def _pairs(run: re.Match[str]) -> str:
    letters = [letter for letter in run[0] if letter.isalnum()]
    pairs = [one + other for one, other in pairwise(letters)] or letters
    return f" {' '.join(pairs)} "
