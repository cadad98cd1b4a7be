"""The softmax losses equal loops over pairs in float64, whole and dealt out to devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.six_dim import get_config
from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.objective.relations import Relation
from jaxsim.objective.softmax import same_track_loss, soft_target_loss
from jaxsim.objective.terms import Terms, objective_terms
from jaxsim.training import train_step

SIZE, WIDTH = 16, 5
KEY = jax.random.key(0)
DIMENSIONS = ("tempo", "mood", "key", "genre")
OF_TAGS = np.repeat([0.0, 1.0, 0.0, 1.0], WIDTH)


def batch():
    random = np.random.default_rng(5)
    embeddings = random.normal(size=(SIZE, 4 * WIDTH)) + random.normal(size=4 * WIDTH)
    teacher = random.normal(size=(SIZE, 7))
    teacher[[3, 9]] = 0  # was not asked about these
    return embeddings.astype(np.float32), {
        "genre": random.random((SIZE, 4)) < 0.4,
        "mood": random.random((SIZE, 3)) < 0.4,
        "key": random.integers(-1, 24, SIZE).astype(np.int32),
        "tempo": random.choice([0, 60, 90, 125], SIZE).astype(np.float32),
        "index": np.arange(SIZE, dtype=np.int32),
        "track": (np.arange(SIZE) // 3).astype(np.int32),
        "start": random.choice([0, 60, 100, 400], SIZE).astype(np.int32),
        "teacher": teacher.astype(np.float32),
        "teacher_genre": teacher[:, :4].astype(np.float32),
        "teacher_mood": teacher[:, 3:].astype(np.float32),
    }


def related(labels, a: int, c: int) -> bool | None:
    """Whether two examples are of one track; None if they overlap by more than half."""
    if labels["track"][a] != labels["track"][c]:
        return False
    return True if abs(int(labels["start"][a]) - int(labels["start"][c])) >= 65 else None


def cosines(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return units @ units.T


def chances(row: np.ndarray, among: list[int], temperature: float) -> dict[int, float]:
    powers = {c: np.exp(row[c] / temperature) for c in among}
    return {c: power / sum(powers.values()) for c, power in powers.items()}


def naive_track(embeddings, labels, temperature: float) -> tuple[float, int]:
    likeness, losses = cosines(embeddings), []
    for a in range(SIZE):
        kinds = {c: related(labels, a, c) for c in range(SIZE)}
        among = [c for c, kind in kinds.items() if kind is not None]
        positives = [c for c in among if kinds[c]]
        if positives:
            found = chances(likeness[a], among, temperature)
            losses.append(-np.log(sum(found[c] for c in positives)))
    return sum(losses), len(losses)


def naive_tags(embeddings, labels, temperature: float) -> tuple[float, int]:
    each = [
        naive_soft(embeddings[:, WIDTH * n : WIDTH * (n + 1)], labels, temperature, of, mask=1)
        for n, of in ((1, "teacher_mood"), (3, "teacher_genre"))
    ]
    return sum(total for total, _ in each), sum(count for _, count in each)


def naive_soft(
    embeddings, labels, temperature: float, teacher: str = "teacher", *, mask=OF_TAGS
) -> tuple[float, int]:
    likeness, by_teacher = cosines(embeddings * mask), cosines(labels[teacher])
    asked, losses = labels[teacher].any(axis=1), []
    for a in np.flatnonzero(asked):
        among = [c for c in np.flatnonzero(asked) if related(labels, a, c) is not None]
        p, q = (chances(each[a], among, temperature) for each in (by_teacher, likeness))
        losses.append(sum(p[c] * np.log(p[c] / q[c]) for c in among))
    return sum(losses), len(losses)


def configured(**loss):
    config = get_config()
    config.dimensions = DIMENSIONS
    config.model.embedding_size = 4 * WIDTH
    config.loss.update(loss)
    return config


FORMS = {
    "track": dict(track_weight=0.5, track="softmax"),
    "track, warm": dict(track_weight=0.5, track="softmax", temperature=0.7),
    "track, by tags": dict(track_weight=0.5, track="tag_softmax"),
    "soft": dict(soft_weight=0.3),
    "soft, warm": dict(soft_weight=0.3, temperature=0.7),
    "soft of classes": dict(soft_weight=0.3, method="classification"),
    "both": dict(track_weight=0.5, track="softmax", soft_weight=0.3),
    "tags": dict(tag_weight=0.4),
    "tags, warm": dict(tag_weight=0.4, tag_temperature=0.7),
    "tags of classes": dict(tag_weight=0.4, soft_weight=0.3, method="classification"),
}


def terms_of(embeddings, labels, config, axis=None) -> Terms:
    classes = {}
    if config.loss.method != "triplet":
        sizes = {"genre": 4, "mood": 3, "tempo": config.loss.tempo_classes, "key": 24}
        classes = {name: jnp.ones((count, WIDTH)) for name, count in sizes.items()}
    embeddings, labels = jax.tree.map(jnp.asarray, (embeddings, labels))
    return objective_terms(embeddings, classes, labels, KEY, config, axis=axis)


@pytest.mark.parametrize("form", FORMS)
def test_equals_loops_over_pairs(form: str) -> None:
    embeddings, labels = batch()
    config = configured(**FORMS[form])
    terms = terms_of(embeddings, labels, config)
    if config.loss.track == "tag_softmax":
        embeddings = embeddings * OF_TAGS
    warmth, of_tags = config.loss.temperature, config.loss.tag_temperature
    for weight, naive, temperature, found in (
        (config.loss.track_weight, naive_track, warmth, terms.track),
        (config.loss.soft_weight, naive_soft, warmth, terms.soft),
        (config.loss.tag_weight, naive_tags, of_tags, terms.of_tags),
    ):
        total, count = naive(embeddings, labels, temperature) if weight else (0, 0)
        assert found.weight == count
        np.testing.assert_allclose(found.sum, total, rtol=1e-5)
        assert (total > 0.1) == (weight > 0)


@pytest.mark.parametrize("form", ["track", "soft of classes", "both", "tags"])
@pytest.mark.slow
def test_devices_give_the_whole_batch(form: str) -> None:
    embeddings, labels = batch()
    config = configured(**FORMS[form])

    def total(embeddings, devices: int):
        parts = jax.tree.map(
            lambda x: jnp.reshape(x, (devices, SIZE // devices, *x.shape[1:])), (embeddings, labels)
        )
        terms = jax.vmap(lambda own: terms_of(*own, config, axis="data"), axis_name="data")(parts)
        return sum(jnp.sum(each.sum) for each in (terms.track, terms.soft, terms.of_tags))

    gradient = jax.jit(jax.grad(total), static_argnums=1)
    found, expected = (gradient(embeddings, devices) for devices in (4, 1))
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_teacher_does_not_move_tempo_and_key() -> None:
    embeddings, labels = batch()
    config = configured(soft_weight=1.0, tag_weight=1.0)
    for term in ("soft", "of_tags"):
        gradient = jax.grad(lambda x, of=term: getattr(terms_of(x, labels, config), of).sum)(
            embeddings
        )
        assert np.abs(gradient * OF_TAGS).max() > 0.01
        assert not np.any(gradient * (1 - OF_TAGS))


def test_nothing_to_compare_loses_nothing() -> None:
    """One track alone, or a teacher that knows nothing: no loss, and a gradient of zeros."""
    embeddings = jnp.asarray(batch()[0])
    nobody = jnp.zeros((SIZE, SIZE), bool)
    ones = jnp.ones(4 * WIDTH)

    def track(x):
        return same_track_loss(x, x, ones, Relation(nobody, ~nobody), 0.1).sum

    def soft(x):
        silent = jnp.zeros((SIZE, 7))
        return soft_target_loss(x, x, ones, silent, silent, ~nobody, 0.1).sum

    for loss in (track, soft):
        value, gradient = jax.value_and_grad(loss)(embeddings)
        assert value == 0 and not np.any(gradient)


def test_a_step_weighs_all_terms(monkeypatch) -> None:
    """What a step minimises, without its network."""
    embeddings, labels = jax.tree.map(jnp.asarray, batch())
    state = train_step.State(jnp.zeros((), jnp.int32), {}, {}, optax.scale_by_adam().init({}))
    seen = []

    def record(config, state, batch, objective):
        seen.append(objective(embeddings, {})[0])
        return {}, objective(embeddings, {})[1], {}

    monkeypatch.setattr(train_step, "_gradients", record)

    def minimised(**loss) -> float:
        def step(one):
            train_step.train_step(configured(**loss), state, labels, one)
            return seen.pop()

        return float(jax.vmap(step, axis_name=DEVICE_AXIS)(jnp.zeros(1))[0])

    alone = minimised()
    track, count = naive_track(*batch(), 0.1)
    soft, asked = naive_soft(*batch(), 0.1)
    found = minimised(track_weight=0.5, track="softmax", soft_weight=0.3)
    assert found == pytest.approx(alone + 0.5 * track / count + 0.3 * soft / asked, rel=1e-4)
    of_tags, heard = naive_tags(*batch(), 0.2)
    found = minimised(tag_weight=0.4)
    assert found == pytest.approx(alone + 0.4 * of_tags / heard, rel=1e-4)
    correlation = float(
        terms_of(embeddings, labels, configured(decorrelation_weight=0.2)).correlation.mean()
    )
    assert correlation > 0.1
    found = minimised(decorrelation_weight=0.2)
    assert found == pytest.approx(alone + 0.2 * correlation, rel=1e-4)
