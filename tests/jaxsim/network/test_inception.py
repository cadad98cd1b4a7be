"""The network equals one written straight from the papers' table, with Flax's own layers."""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.plain import Plain
from jaxsim.network.forms.stem import by_positions, convolved_by_patches, maximum, stem_axes
from jaxsim.network.inception import Inception
from jaxsim.network.plan import Plan

WIDTH = 0.0625  # channels 64, 48, 96, 32 become 4, 3, 6, 2
EMBEDDING = 6
SIZES = {"mel": (128, 129), "tempogram": (384, 129), "cens": (16, 129)}
INPUTS = [("mel",), ("mel", "tempogram", "cens")]


def plain_tree(tree: Mapping, inputs: tuple[str, ...]) -> dict:
    """The network's parameters, or gradients, under the names of the plain network."""
    separate = 6 if len(inputs) == 1 else 2
    blocks = {}
    for kind in inputs:
        blocks |= {f"{kind}: block {i}": f"{kind}_block_{i + 1}" for i in range(separate)}
    blocks |= {f"common: block {i}": f"block_{i + 1}" for i in range(separate, 6)}
    result = {f"{kind}: stem": tree[f"{kind}_stem"] for kind in inputs}
    for plain, name in blocks.items():
        naive, reduction = tree[name]["naive"], tree[name]["reduction"]
        result |= {
            f"{plain}, naive 1x1": naive["point"],
            f"{plain}, naive 1x1 before 3x3": naive["deep_reduce"],
            f"{plain}, naive first 3x3": naive["deep_1"],
            f"{plain}, naive second 3x3": naive["deep_2"],
            f"{plain}, 5x5": reduction["wide"],
            f"{plain}, first 3x3": reduction["deep_1"],
            f"{plain}, second 3x3": reduction["deep_2"],
        }
        first = 0
        parts = {"1x1": 4, "1x1 before 5x5": 3, "1x1 before 3x3": 4, "pooled": 2}  # side by side
        for part, channels in parts.items():
            own = slice(first, first + channels)
            result[f"{plain}, {part}"] = {
                "kernel": reduction["reduce"]["kernel"][..., own],
                "bias": reduction["reduce"]["bias"][own],
            }
            first += channels
        assert first == reduction["reduce"]["bias"].size
    return result | {"dense": tree["embedding"], "layer norm": tree["embedding_norm"]}


def shapes_of(model: Inception, *, train: bool = False) -> Mapping:
    """Shapes of the model's variables, without computing anything."""
    images = {
        kind: jax.ShapeDtypeStruct((2, *SIZES[kind], 1), jnp.float32) for kind in model.plan.inputs
    }
    init = functools.partial(model.init, train=train)
    return jax.eval_shape(init, jax.random.key(0), images)


def random_like(shapes: Mapping, seed: int) -> Mapping:
    """Parameters of a usual magnitude, biases included."""
    random = np.random.default_rng(seed)

    def draw(shape):
        values = random.normal(size=shape.shape)
        if len(shape.shape) == 1:
            return jnp.float32(0.3 * np.abs(values))  # positive: fewer dead units
        return jnp.float32(values * np.sqrt(2 / np.prod(shape.shape[:-1])))

    return jax.tree.map(draw, shapes)


def output_and_gradient(apply: Callable, params, images) -> tuple[jax.Array, Mapping]:
    """Embeddings, and the gradient of a random combination of them."""
    direction = jax.random.normal(jax.random.key(1), (2, EMBEDDING))

    def combination(params):
        output = apply({"params": params}, images)
        return jnp.sum(output * direction), output

    gradient, output = jax.jit(jax.grad(combination, has_aux=True))(params)
    return output, gradient


@pytest.mark.parametrize("kind", SIZES)
def test_the_stems_forms_are_equal(kind: str) -> None:
    """That of CPUs and GPUs, with which the whole network is tested below, and that of TPUs."""
    random = np.random.default_rng(3)
    x = jnp.float32(random.normal(size=(2, *SIZES[kind], 1)))
    kernel = jnp.float32(random.normal(size=(5, 5, 1, 3)))
    bias = jnp.float32([0.5, -1, -8])  # of the last the ReLU closes most
    axes = stem_axes(kind, SIZES[kind])

    def patches(x, kernel, bias, axes):
        return jax.nn.relu(maximum(convolved_by_patches(x, kernel, axes)) + bias)

    @functools.partial(jax.jit, static_argnums=0)
    def everything(form, x, kernel, bias):
        pooled, pull = jax.vjp(lambda *inputs: form(*inputs, axes), x, kernel, bias)
        return pooled, *pull(jax.random.normal(jax.random.key(1), pooled.shape))

    found = everything(by_positions, x, kernel, bias)
    expected = everything(patches, x, kernel, bias)
    assert 0 < np.mean(found[0][..., 2] > 0) < 0.5
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("forms", "inputs"),
    [("tpu", INPUTS[0]), ("cpu", INPUTS[1])],
    ids=["single", "multi"],
    indirect=["forms"],
)
@pytest.mark.slow
def test_equals_the_plain_network(inputs: tuple[str, ...]) -> None:
    model = Inception(Plan(EMBEDDING, inputs=inputs, width=WIDTH))
    params = random_like(shapes_of(model)["params"], seed=12)
    random = np.random.default_rng(1)
    images = {kind: jnp.float32(random.normal(size=(2, *SIZES[kind], 1))) for kind in inputs}

    found, gradient = output_and_gradient(
        functools.partial(model.apply, train=False), params, images
    )
    plain_params = plain_tree(params, inputs)
    expected, plain_gradient = output_and_gradient(
        Plain(inputs, EMBEDDING, WIDTH).apply, plain_params, images
    )

    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    gradient = plain_tree(gradient, inputs)
    assert set(gradient) == set(plain_gradient)
    for name, layer in plain_gradient.items():
        for kind, other in layer.items():
            assert np.abs(other).max() > 0, f"the oracle's gradient of {name} is zero"
            np.testing.assert_allclose(
                gradient[name][kind], other, atol=1e-3 * np.abs(other).max(), err_msg=name
            )


@pytest.mark.parametrize(
    ("inputs", "embedding_size", "embedding_norm", "expected"),
    [(("mel",), 256, "none", 2_801_536), (INPUTS[1], 384, "layer", 4_743_168)],
    ids=["B", "A"],
)
def test_has_the_papers_size(inputs, embedding_size, embedding_norm, expected) -> None:
    model = Inception(Plan(embedding_size, inputs=inputs, embedding_norm=embedding_norm))
    params = shapes_of(model)["params"]
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == expected


def test_bfloat16_is_only_the_computation() -> None:
    model = Inception(Plan(EMBEDDING, inputs=("mel",), width=WIDTH), jnp.bfloat16)
    variables = shapes_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    images = {"mel": jnp.zeros((2, 128, 129, 1))}
    apply = functools.partial(model.apply, train=False)
    assert jax.eval_shape(apply, variables, images).dtype == jnp.float32
    program = str(jax.make_jaxpr(apply)(random_like(variables, seed=0), images))
    convolutions = [line for line in program.splitlines() if "= conv_general_dilated" in line]
    assert len(convolutions) > 20
    assert all(":bf16[" in line for line in convolutions)


@pytest.mark.parametrize(
    ("inputs", "options", "expected"),
    [
        (("mel",), dict(norm="none", branch_norm="batch", embedding_norm="layer"), 0),
        (("mel",), dict(norm="none", embedding_norm="batch_layer"), 2),
        (("mel", "cens"), dict(branch_norm="batch"), 2 * 2),
        (("mel",), dict(norm="batch", embedding_norm="none"), 2 * (1 + 6 * 8)),
    ],
    ids=["none", "embedding", "branches", "everywhere"],
)
def test_running_statistics_belong_to_batch_normalisation(inputs, options, expected: int) -> None:
    """A mean and a variance after each of the stem's one and the six blocks' eight convolutions."""
    variables = shapes_of(Inception(Plan(EMBEDDING, inputs=inputs, width=WIDTH, **options)))
    assert len(jax.tree.leaves(variables.get("batch_stats", {}))) == expected
