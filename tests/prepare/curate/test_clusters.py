from __future__ import annotations

from modiste.prepare.curate.clusters import clusters, how_many, names_topics
from modiste.prepare.curate.vectors import condensed, lexical

TOPICS = {
    "animals": "the {} dog chased a {} cat over the farm",
    "money": "my {} bank raised the {} interest on loans",
    "weather": "rain and {} clouds bring {} storms tomorrow",
}
FILLERS = ["small", "large", "grey", "old", "young", "loud", "quiet", "quick"]


def _texts(sizes: dict[str, int]) -> list[str]:
    return [
        TOPICS[topic].format(FILLERS[n % 8], FILLERS[(n * 3 + 1) % 8])
        for topic, size in sizes.items()
        for n in range(size)
    ]


def test_topics_are_found_largest_first_and_named_by_their_words() -> None:
    texts = _texts({"animals": 60, "money": 30, "weather": 10})
    sparse = lexical(texts, keep=names_topics)
    found = clusters(condensed(sparse, dimensions=16), sparse, count=3)
    assert [len(cluster.rows) for cluster in found] == [60, 30, 10]
    assert set(found[0].terms) <= {"dog", "chased", "cat", "farm"}
    assert set(found[1].terms) <= {"bank", "raised", "interest", "loans"}
    assert set(found[2].rows.tolist()) == set(range(90, 100))


def test_texts_without_words_are_a_topic_without_a_name() -> None:
    sparse = lexical([*_texts({"animals": 20}), "?!", "..."], keep=names_topics)
    found = clusters(condensed(sparse, dimensions=4), sparse, count=2)
    assert [c.rows.tolist() for c in found if not c.terms] == [[20, 21]]


def test_the_same_texts_make_the_same_topics() -> None:
    sparse = lexical(_texts({"animals": 30, "money": 30}), keep=names_topics)
    vectors = condensed(sparse)
    one, other = clusters(vectors, sparse, count=5), clusters(vectors, sparse, count=5)
    assert [c.rows.tolist() for c in one] == [c.rows.tolist() for c in other]


def test_more_texts_show_more_topics() -> None:
    assert [how_many(n) for n in (5, 1000, 20_000, 10**6)] == [1, 10, 44, 50]
