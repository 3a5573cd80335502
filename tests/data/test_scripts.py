"""BM25 on text without spaces between words: real sentences in Japanese, Chinese and Thai."""

import numpy as np
import pytest

from hardneg.models import bm25

TEXTS = {
    "japanese": (
        "日本の首都はどこですか",
        ["東京は日本の首都である。", "富士山は日本で最も高い山である。", "猫は魚を食べる動物である。", "大阪は西日本の中心都市である。"],
    ),
    "chinese": (
        "中国的首都是哪里",
        ["北京是中华人民共和国的首都。", "长江是亚洲最长的河流。", "熊猫主要吃竹子。", "上海是中国人口最多的城市。"],
    ),
    "thai": (
        "เมืองหลวงของประเทศไทยคืออะไร",
        ["กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย", "แมวกินปลา", "ภูเขาไฟฟูจิสูงที่สุดในญี่ปุ่น", "ช้างเป็นสัตว์บกขนาดใหญ่"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
def test_the_answer_shares_letters_with_the_question(language: str) -> None:
    query, passages = TEXTS[language]
    words = bm25.Settings().tokens([query, *passages])
    shared = [len(set(words[0]) & set(own)) for own in words[1:]]
    assert np.argmax(shared) == 0
    assert shared[0] >= 2


def test_words_with_spaces_stay_words() -> None:
    [mixed] = bm25.Settings().tokens(["the retriever 検索"])
    assert "retriev" in mixed
    assert "検索" in mixed
