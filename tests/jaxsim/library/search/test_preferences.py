"""Personal weights: the fit against a grid, what is asked, and that no answer is lost."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import preferences, presets, query
from jaxsim.library.search.preferences import Answer
from tests.helpers.libraries import random_vectors

MakeStore = Callable[..., store.Store]


@pytest.fixture
def library(make_store: MakeStore) -> store.Store:
    return make_store(random_vectors(120))


def test_fit_is_the_maximum_of_the_posterior() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(15, 2))
    chose_a = random.random(15) < 1 / (1 + np.exp(-x @ [2.0, -1.0]))

    def log_posterior(w: np.ndarray) -> np.ndarray:
        p = 1 / (1 + np.exp(-np.einsum("ns,...s->...n", x, w)))
        likelihood = np.log(np.where(chose_a, p, 1 - p)).sum(axis=-1)
        return likelihood - ((w - 0.5) ** 2).sum(axis=-1) / 2

    grid = np.stack(np.meshgrid(*[np.linspace(-4, 4, 801)] * 2, indexing="ij"), axis=-1)
    best = grid.reshape(-1, 2)[np.argmax(log_posterior(grid))]
    weights, covariance = preferences.fit_weights(x, chose_a)
    np.testing.assert_allclose(weights, best, atol=0.011)
    h = 1e-3
    curvature = np.zeros((2, 2))
    for i, j in itertools.product(range(2), repeat=2):
        a, b = h * np.eye(2)[i], h * np.eye(2)[j]
        signs = ((1, a + b), (-1, a - b), (-1, b - a), (1, -a - b))
        curvature[i, j] = -sum(s * log_posterior(weights + d) for s, d in signs) / (4 * h * h)
    np.testing.assert_allclose(covariance, np.linalg.inv(curvature), rtol=1e-3)


def test_without_answers_weights_are_equal(library: store.Store) -> None:
    fitted = preferences.fit(library, [])
    assert fitted.answers == 0 and np.isnan(fitted.agreement)
    np.testing.assert_allclose(fitted.weights, fitted.weights[0])
    np.testing.assert_allclose(fitted.deviations, 1)


def judged(library: store.Store, truth: np.ndarray, count: int, seed: int) -> list[Answer]:
    """What a listener with these weights answers to the questions of `next_question`."""
    random = np.random.default_rng(seed)
    answers: list[Answer] = []
    while len(answers) < count:
        asked = preferences.next_question(library, answers, seed=seed)
        like_a, like_b = query.likenesses(library, [asked.anchor], [asked.a, asked.b])
        is_a = random.random() < 1 / (1 + np.exp(-3 * (like_a - like_b) @ truth))
        ids = [library.ids[row] for row in (asked.anchor, asked.a, asked.b)]
        answers.append(Answer(*ids, "a" if is_a else "b"))
    return answers


@pytest.mark.parametrize("truth", [(0, 1, 0), (0.8, 0, -0.6)], ids=str)
def test_finds_a_listeners_weights_in_twenty_answers(library: store.Store, truth) -> None:
    directions = []
    for seed in range(3):
        fitted = preferences.fit(library, judged(library, np.array(truth), 20, seed))
        directions.append(fitted.weights / np.linalg.norm(fitted.weights) @ truth)
        assert fitted.answers == 20 and fitted.agreement > 0.5
        assert (np.abs(fitted.weights - 3 * np.array(truth)) < 4 * fitted.deviations).all()
        assert (fitted.deviations < 1).all()
    assert np.mean(directions) > 0.9


def test_agreement_is_with_answers_that_were_not_fitted(library: store.Store) -> None:
    """One question, answered as often one way as the other: each answer contradicts the rest."""
    random = np.random.default_rng(0)
    pool = random.permuted(np.tile(library.rows, (500, 1)), axis=1)[:, :3]
    x = preferences.differences(library, pool)
    rows = pool[np.argmax(np.linalg.norm(x, axis=1) - 9 * np.abs(x.sum(axis=1)))]
    answers = [Answer(*library.ids[rows], choice) for choice in "ab" * 6]
    assert preferences.fit(library, answers).agreement == 0


def test_questions_say_more_than_random_ones(library: store.Store) -> None:
    truth = np.array([0.8, 0, -0.6])

    def volume(answers: list[Answer]) -> float:
        return float(np.linalg.det(preferences.fit(library, answers).covariance))

    random = np.random.default_rng(0)
    chosen, drawn = [], []
    for seed in range(4):
        chosen.append(volume(judged(library, truth, 10, seed)))
        answers = []
        for _ in range(10):
            rows = random.choice(library.rows, 3, replace=False)
            like_a, like_b = query.likenesses(library, [int(rows[0])], rows[1:])
            choice = "a" if (like_a - like_b) @ truth > 0 else "b"
            answers.append(Answer(*library.ids[rows], choice))
        drawn.append(volume(answers))
    assert max(chosen) < min(drawn)


def test_questions(library: store.Store) -> None:
    answers: list[Answer] = []
    anchors = set()
    for _ in range(30):
        asked = preferences.next_question(library, answers)
        assert asked == preferences.next_question(library, answers), "resumable"
        assert len({asked.anchor, asked.a, asked.b}) == 3
        anchors.add(asked.anchor)
        ids = [library.ids[row] for row in (asked.anchor, asked.a, asked.b)]
        answers.append(Answer(*ids, "skip"))
    assert len(anchors) == 30, "every anchor is a new one"


def test_three_tracks_are_enough(make_store: MakeStore) -> None:
    asked = preferences.next_question(make_store(random_vectors(3)), [])
    assert {asked.anchor, asked.a, asked.b} == {0, 1, 2}


def test_two_tracks_are_not(make_store: MakeStore) -> None:
    with pytest.raises(ValueError, match="has 2 tracks, expected at least 3"):
        preferences.next_question(make_store(random_vectors(2)), [])


def test_answers_are_kept_by_listener(library: store.Store) -> None:
    mine = [Answer("0000", "0001", "0002", "a"), Answer("0003", "0001", "0002", "skip")]
    for answer in mine:
        preferences.save_answer(library, "me", answer)
    preferences.save_answer(library, "you", Answer("0005", "0001", "0002", "b"))
    assert preferences.answers_of(store.open(library.path), "me") == mine
    assert preferences.fit(library, mine).answers == 1
    gone = Answer("gone", "0001", "0002", "a")
    assert preferences.fit(library, [*mine, gone]).answers == 1
    with pytest.raises(ValueError, match="'gone' is not a track"):
        preferences.save_answer(library, "me", gone)
    with pytest.raises(ValueError, match="choice is 'x'"):
        preferences.save_answer(library, "me", Answer("0000", "0001", "0002", "x"))


def test_presets(library: store.Store) -> None:
    presets.save(library, "dance", {"tempo": 2, "key": -0.5}, deviations={"tempo": 0.1})
    presets.save(library, "all", dict.fromkeys(library.dimensions, 1.0))
    assert presets.load(library, "dance") == {"genre": 0, "tempo": 2, "key": -0.5}
    assert list(presets.load_all(library)) == ["all", "dance"]
    assert presets.load_all(library)["dance"]["deviations"] == {"tempo": 0.1}
    presets.save(library, "dance", {"tempo": 1})
    assert presets.load(library, "dance")["tempo"] == 1
    presets.delete(library, "all")
    with pytest.raises(ValueError, match=r"preset 'all': unknown, expected one of \['dance'\]"):
        presets.load(library, "all")
    for name, weights, message in (
        ("", {}, "its name is '', expected 1 to 100 characters"),
        ("x", {"mood": 1}, "'mood' is not a dimension of this library"),
        ("x", {"key": np.nan}, "key is nan, expected a number below a million"),
    ):
        with pytest.raises(ValueError, match=message):
            presets.save(library, name, weights)
