"""The plan says what the Flax network has, at any depth and width."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax.traverse_util import flatten_dict

from benchmarks.plain import Plain
from configs.six_dim import get_config
from jaxsim.network.inception import Inception
from jaxsim.network.plan import PUBLISHED_DEPTH, Plan, plan_of, scaled

IMAGES = {"mel": (128, 65), "tempogram": (384, 65), "cens": (16, 65)}
ALL = ("mel", "tempogram", "cens")


@pytest.mark.parametrize(
    "plan",
    [
        Plan(384),
        Plan(256, inputs=("mel",), embedding_norm="none"),
        Plan(6, inputs=ALL, width=0.0625, trunk_width=3.0, blocks=3),
        Plan(6, inputs=("cens",), width=0.3, trunk_width=0.5, blocks=3, branch_blocks=1),
        Plan(6, inputs=("mel", "tempogram"), width=0.1, blocks=1, branch_blocks=1),
    ],
    ids=str,
)
def test_layers_are_those_of_the_network(plan: Plan) -> None:
    images = {
        kind: jax.ShapeDtypeStruct((1, *IMAGES[kind], 1), jnp.float32) for kind in plan.inputs
    }
    network = Inception(plan)
    params = jax.eval_shape(
        lambda images: network.init(jax.random.key(0), images, train=False), images
    )["params"]
    found = {path: leaf.shape for path, leaf in flatten_dict(params, sep="/").items()}
    expected = {}
    for layer in plan.layers(IMAGES):
        expected[f"{layer.path}/kernel"] = layer.kernel
        expected[f"{layer.path}/bias"] = layer.kernel[-1:]
    assert {path for path in found if "norm" not in path} == expected.keys()
    assert {path: found[path] for path in expected} == expected
    assert any("norm" in path for path in found) == (plan.embedding_norm != "none")


@pytest.mark.parametrize("inputs", [ALL, ("mel",)])
def test_operations_are_those_of_the_plain_network(inputs: tuple[str, ...]) -> None:
    images = {kind: jax.ShapeDtypeStruct((1, *IMAGES[kind], 1), jnp.float32) for kind in inputs}
    found: list[int] = []

    def count(layer, given, named, context):
        output = layer(*given, **named)
        if isinstance(context.module, nn.Conv | nn.Dense) and context.method_name == "__call__":
            kernel = context.module.get_variable("params", "kernel")
            found.append(2 * kernel.size * math.prod(output.shape[:-1]))
        return output

    with nn.intercept_methods(count):
        network = Plain(inputs, 384, 0.25)
        jax.eval_shape(lambda images: network.init(jax.random.key(0), images), images)
    assert sum(found) == Plan(384, inputs=inputs, width=0.25).operations(IMAGES)


def test_maps_shrink_as_the_papers_say() -> None:
    """A: every branch ends at 16 x 16; B: six blocks end at 1 x 1."""
    images = {"mel": (128, 129), "tempogram": (384, 129), "cens": (16, 129)}
    assert [Plan(384).branch_map(kind, images[kind]) for kind in ALL] == [(16, 16)] * 3
    assert Plan(256, inputs=("mel",)).branch_map("mel", images["mel"]) == (1, 1)
    assert [block.channels for block in (*Plan(384).branch("mel"), *Plan(384).trunk())] == [256] * 6
    *_, dense = Plan(384).layers(images)
    assert dense.kernel == (256, 384)


def test_the_trunk_has_its_own_width() -> None:
    plan = Plan(6, width=0.5, trunk_width=2.0)
    assert {block.width for block in plan.branch("cens")} == {0.5}
    assert [block.name for block in plan.trunk()] == ["block_3", "block_4", "block_5", "block_6"]
    assert {block.width for block in plan.trunk()} == {1.0}
    single = Plan(6, inputs=("mel",), width=0.5, trunk_width=2.0)
    assert [block.width for block in single.branch("mel")] == [0.5] * 2 + [1.0] * 4
    assert single.trunk() == []
    assert scaled(64, 0.001) == 1


def test_a_configuration_is_a_plan() -> None:
    model = get_config("demo").model
    plan = plan_of(model)
    for field in dataclasses.fields(Plan):
        value = 0 if field.name == "whitened" else model[field.name]  # only exports are whitened
        several = field.name in ("inputs", "statistics")
        assert getattr(plan, field.name) == (tuple(value) if several else value)
    older = {name: value for name, value in model.to_dict().items() if name not in PUBLISHED_DEPTH}
    assert plan_of(older) == plan, "configurations from before the depth could be chosen"
    folded = plan.folded()
    assert (folded.norm, folded.branch_norm, folded.embedding_norm) == ("none", "none", "layer")
