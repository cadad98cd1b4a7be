"""Where numbers that are not finite came from."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.training import non_finite


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_bad_number_of_a_tree_is_found(bad):
    tree = {"a": jnp.ones((3, 2)), "b": [jnp.zeros(()), jnp.arange(4)]}
    assert non_finite.all_finite(tree)
    assert not non_finite.all_finite(tree | {"c": jnp.array([1.0, bad])})


def test_tracks_are_named_with_their_features():
    batch = {
        "mel": np.zeros((4, 3, 2), np.float16),
        "onset": np.zeros((4, 5), np.float32),
        "track": np.array([7, 2, 7, 0], np.int32),
    }
    batch["mel"][2, 1, 1] = np.inf
    batch["mel"][0, 0, 0] = np.nan
    batch["onset"][3, 4] = np.nan
    batch["onset"][2, 0] = np.nan
    ids = [f"track {number}" for number in range(8)]
    found = non_finite.offending_tracks(batch, ("mel", "onset"), ids)
    assert found == {"track 7": ["mel", "onset"], "track 0": ["onset"]}


def test_the_report_says_it_in_json_and_in_a_sentence():
    found = non_finite.report(
        step=12,
        numbers={
            "loss": {"genre": 0.5, "mood": np.nan, "era": np.inf},
            "spread": {"genre": 1.0, "mood": np.float32(np.nan), "era": 0.25},
            "track": {"all": 0.0},
        },
        offending={"b": ["mel"]},
        tracks=["a", "b", "a"],
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "step": 12,
        "not_finite": {"loss": ["mood", "era"], "spread": ["mood"]},
        "numbers": {
            "loss": {"genre": "0.5", "mood": "nan", "era": "inf"},
            "spread": {"genre": "1.0", "mood": "nan", "era": "0.25"},
            "track": {"all": "0.0"},
        },
        "tracks_with_features_that_are_not_finite": {"b": ["mel"]},
        "tracks_of_the_batch": ["a", "b"],
    }
    said = "step 12: not finite: loss of mood, era; spread of mood; "
    assert non_finite.sentence(found) == said + "tracks with features that are not finite: b"
    found["tracks_with_features_that_are_not_finite"] = {}
    assert non_finite.sentence(found) == said + "all features of the batch are finite"
