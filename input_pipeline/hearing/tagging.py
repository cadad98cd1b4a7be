"""Tags as MusiCNN hears them: from samples to the patches it sees, and to what it makes of them.

MusiCNN's weights are part of the package `musicnn` (ISC licence), which is read, not imported: it
was written for TensorFlow 1. Nothing here imports TensorFlow or JAX before it is needed.
"""

import dataclasses
import functools
import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import threadpoolctl

from input_pipeline.files import replacing
from input_pipeline.hearing import audio

SAMPLE_RATE = 16000  # Hz
N_FFT = 512
HOP_LENGTH = 256
N_MELS = 96
PATCH_FRAMES = 187  # 3 s
MOST_PATCHES = 20  # of a track that are heard: a minute; of longer tracks they are spread evenly
LOG_GAIN = 10000.0
LARGEST_FLOAT16 = 65504.0
INSTALLATION = "pip install --no-deps musicnn==0.1.0"
VERSION = 2  # Raise it whenever the same weights give different numbers.

FOLDERS = {"msd": "MSD_musicnn", "mtt": "MTT_musicnn"}  # of the networks, in the package
# Tags in the order of the networks' outputs: Last.FM's of the Million Song Dataset (MSD), and those
# of MagnaTagATune (MTT).
TAGS = {
    "msd": (
        *("rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s"),
        *("alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists"),
        *("classic rock", "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s"),
        *("chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient", "acoustic"),
        *("experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country"),
        *("easy listening", "sexy", "catchy", "funk", "electro", "heavy metal"),
        *("Progressive rock", "60s", "rnb", "indie pop", "sad", "House", "happy"),
    ),
    "mtt": (
        *("guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock"),
        *("fast", "piano", "ambient", "beat", "violin", "vocal", "synth", "female", "indian"),
        *("opera", "male", "singing", "vocals", "no vocals", "harpsichord", "loud", "quiet"),
        *("flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo", "man"),
        *("classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats"),
        *("harp", "cello", "no voice", "weird", "country", "metal", "female voice", "choral"),
    ),
}
EMBEDDING = "tag_embedding"
LOGITS = tuple(f"{network}_logits" for network in TAGS)
ARRAYS = (*LOGITS, EMBEDDING)
SEGMENT_EMBEDDINGS, SEGMENT_LOGITS = OF_SEGMENTS = ("segment_embeddings", "segment_logits")


@dataclasses.dataclass(frozen=True)
class Tagger:
    """MusiCNN; picklable.

    Attributes:
      path: of its weights, as `export` wrote them.
      digest: of the weights and of the way they are used.
    """

    path: Path
    digest: str

    def estimate(self, samples: np.ndarray, rate: float) -> dict[str, np.ndarray]:
        """Estimates the tags of a track.

        Args:
          samples: mono float samples, [n].
          rate: Hz.

        Returns:
          msd_logits, mtt_logits: float32 [50], means over at most `MOST_PATCHES` patches; tags as
            in `TAGS`.
          tag_embedding: float32 [753], the mean over frames and patches of the layer before pooling
            of the network trained on the MSD.
        """
        cut = patches(samples, rate)
        if len(cut) > MOST_PATCHES:  # from the middle of so many equal parts of the track
            cut = cut[(2 * np.arange(MOST_PATCHES) + 1) * len(cut) // (2 * MOST_PATCHES)]
        found = {}
        for network, predict in _networks(self.path).items():
            logits, embeddings = predict(cut)
            found[f"{network}_logits"] = _mean(logits)
            if network == "msd":
                found[EMBEDDING] = _mean(embeddings)
        return found

    def hear_around(
        self, samples: np.ndarray, rate: float, middles: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Hears a track patch by patch, where it is asked to.

        Args:
          samples: mono float samples, [n].
          rate: Hz.
          middles: of the patches, in seconds, [L]; no patch reaches beyond the track.

        Returns:
          segment_embeddings: float16 [L, 753], the mean over frames of the layer that
            `estimate` takes the mean of.
          segment_logits: float16 [L, 100], of both networks' tags, in the order of `TAGS`.
        """
        log = _spectrogram(samples, rate)
        starts = np.rint(np.asarray(middles) * SAMPLE_RATE / HOP_LENGTH - (PATCH_FRAMES - 1) / 2)
        starts = np.clip(starts.astype(int), 0, len(log) - PATCH_FRAMES)
        embeddings, logits = [], []
        for some in np.split(starts, range(MOST_PATCHES, len(starts), MOST_PATCHES)):
            cut = np.stack([log[start : start + PATCH_FRAMES] for start in some])
            heard = {network: predict(cut) for network, predict in _networks(self.path).items()}
            embeddings.append(heard["msd"][1])
            logits.append(np.concatenate([heard[network][0] for network in TAGS], axis=1))
        found = np.concatenate(embeddings), np.concatenate(logits)
        return {name: a.astype(np.float16) for name, a in zip(OF_SEGMENTS, found, strict=True)}


def _mean(array: np.ndarray) -> np.ndarray:
    return array.mean(axis=0, dtype=np.float64).astype(np.float32)


def patches(samples: np.ndarray, rate: float) -> np.ndarray:
    """Cuts a track into the spectrograms that MusiCNN sees.

    What is left at the end of the track is dropped; a track shorter than one patch is followed by
    silence.

    Args:
      samples: mono float samples, [n].
      rate: Hz.

    Returns:
      float32 [P, 187, 96], log10(1 + 10000 * Slaney mel of the STFT's power).
    """
    log = _spectrogram(samples, rate)
    count = len(log) // PATCH_FRAMES
    return log[: count * PATCH_FRAMES].reshape(count, PATCH_FRAMES, N_MELS)


# Matrix products round differently with more threads: one thread gives the same bytes everywhere.
@threadpoolctl.threadpool_limits.wrap(limits=1)
def _spectrogram(samples: np.ndarray, rate: float) -> np.ndarray:
    """What `patches` cuts, float32 [T, 96]; its frames are those of librosa 0.7, as in training."""
    import librosa  # takes a second, and only who trains has it

    samples = audio.resample(samples, rate, SAMPLE_RATE)
    least = (PATCH_FRAMES - 1) * HOP_LENGTH
    samples = np.pad(samples, (0, max(0, least - len(samples)))).astype(np.float32)
    spectrum = librosa.stft(samples, n_fft=N_FFT, hop_length=HOP_LENGTH, pad_mode="reflect")
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS)
    mel = filters @ np.abs(spectrum) ** 2
    # It was trained on values stored as float16, where anything larger would be infinite.
    mel = np.minimum(mel, LARGEST_FLOAT16).astype(np.float16).astype(np.float32)
    return np.log10(1 + LOG_GAIN * mel).T


@functools.cache
def _networks(path: Path) -> dict[str, Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    from input_pipeline.hearing import musicnn  # imports JAX

    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return {network: musicnn.predictor(_of_network(arrays, network)) for network in TAGS}


def _of_network(arrays: Mapping[str, np.ndarray], network: str) -> dict[str, np.ndarray]:
    start = f"{network}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def find() -> Path:
    """The folder of the installed package `musicnn`.

    Raises:
      ImportError: it is not installed.
    """
    spec = importlib.util.find_spec("musicnn")
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        if all((folder / name / ".index").is_file() for name in FOLDERS.values()):
            return folder
    raise ImportError(
        f"tags cannot be estimated without MusiCNN: {INSTALLATION}, or leave out 'tags'"
    )


def export(package: Path, path: Path) -> Tagger:
    """Writes the weights in a package's checkpoints to `path`, so that workers need no TensorFlow.

    Raises:
      ValueError: a checkpoint cannot be read.
    """
    arrays = {
        f"{network}/{name}": array
        for network, folder in FOLDERS.items()
        for name, array in _read_checkpoint(package / folder).items()
    }
    digest = hashlib.blake2b(str(VERSION).encode(), digest_size=16)
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
    return Tagger(path, digest.hexdigest())


def _read_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """The weights of a network, without its optimiser's state."""
    import tensorflow as tf

    # Not `tf.train.load_checkpoint`: for a folder, that follows a path on its authors' machine.
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(f"{folder}/")
        names = reader.get_variable_to_shape_map()
        found = {name: reader.get_tensor(name) for name in names if not _is_optimisers(name)}
    except (tf.errors.OpError, RuntimeError, ValueError) as error:
        raise ValueError(f"{folder}: not a readable checkpoint of MusiCNN ({error})") from None
    return found


def _is_optimisers(name: str) -> bool:
    return "/Adam" in name or name in ("beta1_power", "beta2_power")
