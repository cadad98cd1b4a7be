"""Fields of `config.features` reach the data, the network's plan and the exported model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.six_dim import get_config
from input_pipeline import manifest
from input_pipeline.datasets import dataset
from input_pipeline.datasets.builder import prepare
from input_pipeline.hearing.features import FeatureConfig
from jaxsim import train
from jaxsim.exported import numpy_model
from jaxsim.library.intake.embedding import Embedder
from jaxsim.network import subspaces
from jaxsim.network.inputs import images
from jaxsim.training import config as config_module
from jaxsim.training import data
from jaxsim.training.machines import stopping
from tests.helpers.runs import tiny

OTHER = FeatureConfig(
    hop_length=256, n_fft=2048, n_mels=96, segment_frames=200, tempogram_window=288
)


@pytest.fixture(scope="module")
def other_directory(tracks_csv, tmp_path_factory):
    directory = tmp_path_factory.mktemp("data") / "other"
    options = {"name": "toy", "description": "tones", "estimate": (), "workers": 1}
    prepare(manifest.read(tracks_csv).tracks, directory, feature_config=OTHER, **options)
    return directory


@pytest.fixture
def config(other_directory):
    """Two inputs, other features in all respects, a cyclic tempogram, the data's own statistics."""
    config = tiny(other_directory)
    config.model.update(inputs=("mel", "tempogram"), blocks=2)
    for field in dataclasses.fields(FeatureConfig):
        if field.name in config.features:
            config.features[field.name] = getattr(OTHER, field.name)
    config.features.update(tempogram="cyclic", standardisation="data")
    return config


@pytest.mark.slow
def test_other_features_are_trained_exported_and_embedded(config, tmp_path, monkeypatch):
    """From the command to the library, with README's chain of functions."""

    open_splits = data.open_splits

    def training_alone(config, splits):  # the other splits have too few tracks
        return dict.fromkeys(splits, open_splits(config, ("train",))["train"])

    monkeypatch.setattr(data, "open_splits", training_alone)
    assert train.train(config, tmp_path, profile="") == stopping.FINISHED
    model = numpy_model.load(tmp_path / "model.npz")
    assert FeatureConfig(**model.feature_config) == OTHER
    assert model.tempogram == "cyclic"
    found = dataset.statistics(config.data.dir)
    assert model.standardise["mel"] == found["mel"]
    assert model.standardise["tempogram"] == found["cyclic"]
    training = data.open_splits(config, ("train",))["train"]
    arrays = training.stored(0)
    expected = model.embed_track(arrays["mel"], arrays["cens"], arrays["onset"])
    ((_, vector),) = Embedder(tmp_path / "model.npz").stream([(0, arrays)])
    np.testing.assert_allclose(vector, subspaces.normalised(expected[None], 2)[0], atol=1e-4)


def test_own_statistics_make_the_inputs_standard(config):
    training = data.open_splits(config, ("train",))["train"]
    crops = [training.read(index, 0, int(training.num_frames[index])) for index in range(4)]
    config = data.standardised(config, training)
    pixels = {"mel": [], "tempogram": []}
    for mel, cens, onset in crops:
        batch = {"mel": mel[None], "cens": cens[None], "onset": onset[None]}
        for name, image in images(jax.tree.map(jnp.asarray, batch), config).items():
            pixels[name].append(np.asarray(image).ravel())
    for name, parts in pixels.items():
        every = np.concatenate(parts)
        assert every.mean() == pytest.approx(0, abs=0.03), name
        assert every.std() == pytest.approx(1, abs=0.03), name


def test_constants_stay_as_they_are(config):
    config.features.standardisation = "constants"
    training = data.open_splits(config, ("train",))["train"]
    assert data.standardised(config, training) is config


def test_data_of_other_features_are_refused(other_directory):
    with pytest.raises(ValueError, match="hop_length is 256, expected 512"):
        data.open_splits(tiny(other_directory), ("train",))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hop_length": 500}, r"config\.features\.hop_length is 500, expected a multiple of 64"),
        ({"n_mels": 0}, r"config\.features\.n_mels is 0, expected a positive int"),
        ({"n_mels": 96}, r"maps of mel, tempogram, cens end with \[\(12, 16\), \(16, 16\), "),
        ({"tempogram_window": 300}, r"end with \[\(16, 16\), \(13, 16\), \(16, 16\)\] bins"),
        ({"tempogram": "fourier"}, r"features\.tempogram is 'fourier', expected one of autocorr"),
        ({"tempogram": "cyclic", "hop_length": 64}, r"384: lags of 2\.9 ms do not cover 30 to 480"),
        ({"standardisation": "none"}, r"standardisation is 'none', expected one of constants, d"),
    ],
)
def test_features_that_cannot_be(fields, message):
    config = get_config("demo")
    config.features.update(fields)
    with pytest.raises(ValueError, match=message):
        config_module.check(config, devices=8)
