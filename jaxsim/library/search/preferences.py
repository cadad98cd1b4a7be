"""A listener's own weights, from answers to "which of two tracks is more like a third?".

Let d_s be the difference between the two tracks' likenesses to the anchor (`query.likenesses`). A
is chosen with probability sigmoid(sum_s w_s d_s): logistic regression without intercept. The prior
of every weight is normal around equal weights, so that a few answers change little. The uncertainty
is the Laplace approximation, the inverse of the curvature at the maximum.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxsim.library.search import query
from jaxsim.library.store import Store, saved

CHOICES = ("a", "b", "skip")
PRIOR_MEAN, PRIOR_DEVIATION = 0.5, 1.0
POOL = 500  # random triplets, the most informative of which is asked


@dataclasses.dataclass(frozen=True)
class Question:
    """Rows of three tracks: is `a` or `b` more like `anchor`?"""

    anchor: int
    a: int
    b: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """Ids of three tracks, and which of `a` and `b` is more like `anchor`, or "skip"."""

    anchor: str
    a: str
    b: str
    choice: str


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Weights fitted to answers.

    Attributes:
      weights: float64 [S], the posterior's maximum.
      covariance: float64 [S, S], of the Laplace approximation.
      answers: how many were fitted (without skipped ones and those about tracks that are gone).
      agreement: share of the answers that a fit to all the others predicts correctly; nan with
        fewer than two answers.
    """

    weights: np.ndarray
    covariance: np.ndarray
    answers: int
    agreement: float

    @property
    def deviations(self) -> np.ndarray:
        return np.sqrt(np.diag(self.covariance))


def fit(store: Store, answers: Sequence[Answer]) -> Fit:
    """Fits weights to the answers whose tracks are in the store."""
    rows, chose_a = _known(store, answers)
    x = differences(store, rows)
    weights, covariance = fit_weights(x, chose_a)
    right = []
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        predicted = x[i] @ fit_weights(x[others], chose_a[others])[0] > 0
        right.append(predicted == chose_a[i])
    agreement = float(np.mean(right)) if len(x) > 1 else float("nan")
    return Fit(weights, covariance, len(x), agreement)


def fit_weights(x: np.ndarray, chose_a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [S] and covariance [S, S] from differences [n, S] and choices bool [n]."""
    from scipy.optimize import minimize  # takes a second to import
    from scipy.special import expit

    sign = np.where(chose_a, 1.0, -1.0)
    precision = 1 / PRIOR_DEVIATION**2

    def loss(w: np.ndarray) -> float:
        prior = precision / 2 * np.sum((w - PRIOR_MEAN) ** 2)
        return float(np.logaddexp(0, -sign * (x @ w)).sum() + prior)

    def gradient(w: np.ndarray) -> np.ndarray:
        return -(sign * expit(-sign * (x @ w))) @ x + precision * (w - PRIOR_MEAN)

    def curvature(w: np.ndarray) -> np.ndarray:
        p = expit(x @ w)
        return (x * (p * (1 - p))[:, None]).T @ x + precision * np.eye(len(w))

    start = np.full(x.shape[1], PRIOR_MEAN)
    w = minimize(loss, start, jac=gradient, hess=curvature, method="trust-exact").x
    return w, np.linalg.inv(curvature(w))


def differences(store: Store, rows: np.ndarray) -> np.ndarray:
    """float64 [n, S] from rows [n, 3] of anchor, a, b: likeness of a minus likeness of b."""
    result = np.zeros((len(rows), len(store.dimensions)))
    for i, (anchor, a, b) in enumerate(rows.tolist()):
        like_a, like_b = query.likenesses(store, [anchor], [a, b])
        result[i] = like_a - like_b
    return result


def next_question(store: Store, answers: Sequence[Answer], *, seed: int = 0) -> Question:
    """The question from a random pool whose answer should tell most about the weights.

    The gain is in the posterior's determinant, log(1 + p (1 - p) d' C d). Anchors already asked
    about come up again only when no others are left. The same answers give the same question.

    Raises:
      ValueError: the library has fewer than three tracks.
    """
    from scipy.special import expit

    if len(store) < 3:
        raise ValueError(f"{store.path}: has {len(store)} tracks, expected at least 3 to compare")
    random = np.random.default_rng((seed, len(answers)))
    asked = {answer.anchor for answer in answers}
    fresh = store.rows[[store.ids[row] not in asked for row in store.rows]]
    anchors = random.choice(fresh if len(fresh) else store.rows, POOL)
    place = np.searchsorted(store.rows, anchors)
    first = random.integers(1, len(store), POOL)  # how far after the anchor, in a circle
    second = random.integers(1, len(store) - 1, POOL)
    second += second >= first
    pool = store.rows[(place[:, None] + np.stack([0 * first, first, second], 1)) % len(store)]
    x = differences(store, pool)
    rows, chose_a = _known(store, answers)
    weights, covariance = fit_weights(differences(store, rows), chose_a)
    p = expit(x @ weights)
    gain = p * (1 - p) * np.einsum("ns,st,nt->n", x, covariance, x)
    return Question(*pool[np.argmax(gain)].tolist())


def preset(fitted: Fit, dimensions: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Weights and deviations by dimension, scaled so that the mean absolute weight is 1."""
    scale = 1 / max(float(np.abs(fitted.weights).mean()), 1e-9)
    columns = (fitted.weights * scale).tolist(), (fitted.deviations * scale).tolist()
    weights, deviations = (dict(zip(dimensions, column, strict=True)) for column in columns)
    return weights, deviations


def save_answer(store: Store, judge: str, answer: Answer) -> None:
    """Saves an answer; it is on disk when this returns.

    Raises:
      ValueError: the choice is not one of `CHOICES`, or a track is not in the store.
    """
    if answer.choice not in CHOICES:
        raise ValueError(f"choice is {answer.choice!r}, expected one of {', '.join(CHOICES)}")
    for track_id in (answer.anchor, answer.a, answer.b):
        if store.row_of(track_id) is None:
            raise ValueError(f"answer: {track_id!r} is not a track of {store.path}")
    saved.save_answer(store.path, judge, dataclasses.asdict(answer))


def answers_of(store: Store, judge: str) -> list[Answer]:
    """All of a listener's answers so far, in the order given."""
    return [Answer(**content) for content in saved.answers(store.path, judge)]


def _known(store: Store, answers: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
    """Rows [n, 3] and choices bool [n] of the answers about known tracks, without skipped ones."""
    rows, chose_a = [], []
    for answer in answers:
        found = [store.row_of(name) for name in (answer.anchor, answer.a, answer.b)]
        if answer.choice != "skip" and None not in found:
            rows.append(found)
            chose_a.append(answer.choice == "a")
    return np.array(rows, np.int64).reshape(-1, 3), np.array(chose_a, bool)
