import numpy as np
import pytest

from worldjepa.evaluate.retrieval import chance, hit_rate, mean_reciprocal_rank, nearest, ranks, rotation_errors

CORNERS = np.eye(4)


def test_ranks_of_a_table_made_by_hand() -> None:
    """Similarities to the four candidates are the prediction's own coordinates."""
    predicted = np.array([[0.9, 0.3, 0.2, 0.1], [0.9, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.9]])
    rank = ranks(predicted, np.stack([CORNERS] * 3), np.array([0, 2, 1]))
    assert rank.tolist() == [1, 3, 3]
    assert mean_reciprocal_rank(rank) == pytest.approx((1 + 1 / 3 + 1 / 3) / 3)
    assert hit_rate(rank, 1) == pytest.approx(1 / 3)
    assert hit_rate(rank, 3) == 1


def test_length_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    predicted, candidates = rng.normal(size=(5, 3)), rng.normal(size=(5, 7, 3))
    answer = np.array([0, 1, 2, 3, 6])
    scaled = ranks(7 * predicted, candidates * rng.uniform(0.1, 9, size=(5, 7, 1)), answer)
    assert scaled.tolist() == ranks(predicted, candidates, answer).tolist()


def test_collapsed_embeddings_share_the_places() -> None:
    rank = ranks(np.ones((6, 3)), np.ones((6, 5, 3)), np.arange(6) % 5)
    assert rank.tolist() == [3] * 6
    half = ranks(np.array([[1.0, 0]]), np.array([[[1.0, 0], [1, 0], [0, 1]]]), np.array([0]))
    assert half.tolist() == [1.5]


def test_chance_is_what_random_predictions_score() -> None:
    rng = np.random.default_rng(0)
    rank = ranks(rng.normal(size=(4000, 8)), rng.normal(size=(4000, 10, 8)), rng.integers(10, size=4000))
    expected = chance(10)
    assert mean_reciprocal_rank(rank) == pytest.approx(expected["mrr"], abs=0.02)
    assert hit_rate(rank, 1) == pytest.approx(expected["hit@1"], abs=0.02)
    assert hit_rate(rank, 5) == pytest.approx(expected["hit@5"], abs=0.03)
    assert chance(3) == {"mrr": pytest.approx((1 + 1 / 2 + 1 / 3) / 3), "hit@1": pytest.approx(1 / 3), "hit@5": 1.0}


def test_the_nearest_is_sought_in_the_whole_set() -> None:
    rng = np.random.default_rng(0)
    every = rng.normal(size=(50, 6))
    assert nearest(3 * every[::-1], every).tolist() == list(range(50))[::-1]


def test_rotation_errors_by_hand() -> None:
    """The prediction finds the second embedding, rotated by 90 degrees from the first: 1 - cos(45)^2."""
    every, turn = np.eye(2), np.sqrt(0.5)
    rotation = np.array([[0, 0, 0, 1.0], [0, 0, turn, turn]])
    predicted = np.array([[0.1, 1.0], [1.0, 0], [1.0, 0]])
    answer = rotation[[0, 0, 0]] * np.array([[1], [1], [-1]])
    assert rotation_errors(predicted, every, rotation, answer) == pytest.approx([0.5, 0, 0])


@pytest.mark.parametrize("answer", [[0, 4], [-1, 0]])
def test_answers_that_are_no_candidates(answer: list[int]) -> None:
    with pytest.raises(ValueError, match=r"0\.\.3"):
        ranks(np.ones((2, 4)), np.stack([CORNERS] * 2), np.array(answer))


def test_empty_sets_and_k_are_named() -> None:
    with pytest.raises(ValueError, match="empty"):
        nearest(np.ones((1, 2)), np.ones((0, 2)))
    with pytest.raises(ValueError, match="k >= 1"):
        hit_rate(np.ones(3), 0)
