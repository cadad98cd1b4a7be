"""Triplets, vectors, models, checkpoints, configurations and queries, damaged in every way."""

import contextlib
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st

from jaxsim.command_line import load, with_fields
from jaxsim.evaluation import judgements, systems
from jaxsim.exported import model_format, numpy_model
from jaxsim.library import store
from jaxsim.library.search import query
from jaxsim.library.store import conditions
from jaxsim.training import config as config_module
from jaxsim.training.saving import checkpoints, exporting, record
from jaxsim.training.schedule import Plateau
from tests.helpers.fuzzing import (
    DEPTHS,
    archive,
    changed,
    damaged,
    few_or_many,
    fields,
    fuzz,
    fuzz_file,
    json_values,
    nested,
    npy,
    scalars,
    scrambled,
)
from tests.helpers.models import parts
from tests.helpers.states import state

ROOT = Path(__file__).parents[2]


@few_or_many
def test_judged_triplets(examples: int, tmp_path: Path) -> None:
    plain = b"anchor,positive,negative\na,b,c\nb,a,d\n"
    votes = b"anchor_id,song1_id,song2_id,song1_vote,song2_vote\na,b,c,5,1\na,c,b,1,11\n"
    odd = ("\t".join(judgements.ODD_ONE_OUT) + "\n1\t2\t3\t0\t1\t4\n").encode()
    cells = [b",", b"\n", b"a", b"1", b"nan", b"inf", b"1e308", b"-1", b'"', b"\t", b"0"]
    records = st.lists(
        st.dictionaries(st.sampled_from([*judgements.GENERIC, *judgements.DIM_SIM]), scalars)
        | st.fixed_dictionaries({name: scalars for name in judgements.DIM_SIM})
        | st.lists(st.tuples(scalars, scalars), max_size=3),
        max_size=3,
    )
    columns = st.dictionaries(
        st.sampled_from(judgements.DIM_SIM), st.lists(scalars, max_size=3) | json_values
    )

    def check(found: judgements.Judgements) -> None:
        assert len(found) and np.all((found.agreement > 0.5) & (found.agreement <= 1))
        found.rows(["a", "b", "c", "d"])

    for name, contents in (
        ("t.csv", damaged(plain) | damaged(votes) | damaged(odd) | scrambled(cells)),
        ("t.csv", scrambled(cells).map(lambda rest: votes + rest)),
        ("t.json", (records | columns | json_values).map(lambda each: json.dumps(each).encode())),
        (
            "t.json",
            nested(DEPTHS) | nested(DEPTHS, '[{"anchor": ', ', "positive": 1, "negative": 2}]'),
        ),
    ):
        fuzz_file(examples, tmp_path / name, contents, judgements.read, check)


HEADERS = [b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", b"{", b"(" * 500, b"1L,"]


def arrays_of_any_kind(right: np.ndarray) -> st.SearchStrategy[bytes]:
    """Files of one array: damaged, of other kinds, or with headers that say anything."""
    headers = st.sampled_from(HEADERS).flatmap(damaged)
    others = [right.astype(complex), right.astype(object), np.array(["a"]), right[:0], right[None]]
    return (
        damaged(npy(right))
        | st.sampled_from([npy(other) for other in others])
        | headers.map(
            lambda text: b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + b"\0" * 12
        )
    )


@pytest.mark.filterwarnings("ignore:Reading `.npy`", "ignore:invalid escape sequence")
@few_or_many
def test_vectors_of_other_systems(examples: int, tmp_path: Path) -> None:
    ids = {"train": ["a", "b"], "test": ["c", "d"]}
    data: Any = {
        split: SimpleNamespace(track_ids=names, directory="data") for split, names in ids.items()
    }
    right = {f"{name}.npy": npy(np.ones(3)) for names in ids.values() for name in names}
    contents = damaged(archive(right)) | st.dictionaries(
        st.sampled_from([*right, "metadata", "x.npy"]), arrays_of_any_kind(np.ones(3)), max_size=3
    ).map(lambda changes: archive(right | changes))

    def check(found: systems.System) -> None:
        assert found.vectors.shape[:2] == (2, 1) and found.vectors.dtype == np.float64
        assert not np.isnan(found.vectors).any()

    path = tmp_path / "vectors.npz"
    fuzz_file(examples, path, contents, lambda file: systems.external(file, data), check)


@pytest.mark.filterwarnings("ignore:Reading `.npy`", "ignore:invalid escape sequence")
@few_or_many
def test_models(examples: int, tmp_path: Path) -> None:
    metadata, arrays = parts(("mel",))
    text = json.dumps(metadata).encode()
    right = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    descriptions = (
        changed(metadata).map(lambda tree: json.dumps(tree).encode())
        | damaged(text)
        | nested(DEPTHS, '{"format": "jaxsim-model", "format_version": 2, "dimensions": ', "}")
    )

    def archived(description: bytes, changes: dict[str, bytes]) -> bytes:
        described = npy(np.frombuffer(description, np.uint8))
        return archive({"metadata.npy": described} | right | changes)

    small = st.dictionaries(
        st.sampled_from(["mel_stem/bias.npy", "metadata.npy", "other.npy"]),
        arrays_of_any_kind(arrays["mel_stem/bias"]),
        max_size=1,
    )
    tensors = safetensors.numpy.save(arrays, {"metadata": text.decode()})
    length = int.from_bytes(tensors[:8], "little")
    header, content = json.loads(tensors[8 : 8 + length]), tensors[8 + length :]
    some = {name: header[name] for name in ("__metadata__", "mel_stem/bias")}
    headers = changed(some).map(lambda tree: json.dumps(header | tree if tree else {}).encode())

    def check(found: numpy_model.Model) -> None:
        assert all(array.dtype == np.float32 for array in found.arrays.values())

    path = tmp_path / "model"
    for contents in (
        st.builds(archived, descriptions, st.just({})),
        st.builds(archived, st.just(text), small),
        damaged(archived(text, {})),
        damaged(tensors),
        headers.map(lambda each: len(each).to_bytes(8, "little") + each + content),
    ):
        fuzz_file(examples // 2, path, contents, numpy_model.load, check)


def test_whole_models_are_read(tmp_path: Path) -> None:
    """Else the tests above would not look far."""
    metadata, arrays = parts(("mel",))
    text = json.dumps(metadata)
    path = tmp_path / "model"
    path.write_bytes(safetensors.numpy.save(arrays, {"metadata": text}))
    assert model_format.read(path)[0] == metadata
    members = {f"{name}.npy": npy(array) for name, array in arrays.items()}
    described = npy(np.frombuffer(text.encode(), np.uint8))
    path.write_bytes(archive({"metadata.npy": described} | members))
    assert model_format.read(path)[0] == metadata


@few_or_many
def test_records_of_checkpoints(examples: int, tmp_path: Path, capsys: Any) -> None:
    saved = state(1)
    run = checkpoints.Checkpoints(tmp_path / "run/checkpoints")
    run.save(saved, Plateau(), {"config": {"seed": 1, "model": {"width": 0.5}}, "tag_names": {}})
    run.wait()
    file = tmp_path / "run/checkpoints/1/record/metadata"
    whole = file.read_bytes()

    def accept(found: dict[str, Any]) -> None:
        nothing: Any = SimpleNamespace(to_json=lambda: "{}")
        record.check_same_config(found["config"], nothing, tmp_path)

    def check(content: bytes) -> None:
        file.write_bytes(content)
        with contextlib.suppress(ValueError):
            config, params, _, found = checkpoints.restore_for_inference(tmp_path / "run")
            kept = record._flat(config.to_dict())  # with the fields that it lacks
            for name, value in record._flat(found["config"]).items():
                assert (kept[name],) == (value,)
            assert params
        with contextlib.suppress(ValueError):
            run.restore(saved, accept=accept)
        with pytest.raises(ValueError):
            exporting.export_checkpoint(tmp_path / "run", tmp_path / "model.npz")

    contents = changed(json.loads(whole)).map(lambda tree: json.dumps(tree).encode())
    fuzz(examples // 4, contents | damaged(whole) | nested(DEPTHS, '{"config": ', "}"), check)
    run.close()
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore:the load_module")
@few_or_many
def test_overrides_of_a_configuration(examples: int, config: Any) -> None:
    names = [".".join(path) for path in fields(config.to_dict())]
    texts = st.text(max_size=12).filter(lambda text: "\0" not in text)
    values = (
        texts
        | scalars.map(str)
        | st.sampled_from(
            ["(" * 300, "[" * 5000, "('genre',)", "1e400", "inf", "nan", "--", "None"]
        )
    )
    overrides = st.lists(st.tuples(st.sampled_from(names) | texts, values), max_size=3)

    def check(chosen: list[tuple[str, str]]) -> None:
        arguments = [f"--config.{name}={value}" for name, value in chosen]
        try:
            found = with_fields(load(f"{ROOT / 'configs/six_dim.py'}:demo"), arguments)
            config_module.check(found, devices=1)
        except ValueError:
            return
        assert found.batch_size > 0 and math.isfinite(found.model.width)

    fuzz(examples, overrides, check)


WORDS = [*store.METADATA, "and", "or", "not", "(", ")", "=", "!=", "~", "<", ">=", "NULL", "'a'"]
WORDS += [
    '"b"',
    "''",
    "1",
    "-2.5",
    ".5",
    "x",
    ";",
    "--",
    "'\ud800'",
    "'\0'",
    "9" * 400,
    "٣",
    "present",
]


@few_or_many
def test_conditions(examples: int) -> None:
    number = conditions.Column(np.array([120.0, np.nan]))
    text = conditions.Column(np.array([0, -1]), ("jazz",))
    texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=60).map(" ".join)

    def check(condition: str) -> None:
        try:
            test = conditions.parse(condition)
        except ValueError:
            return
        truth = test(lambda field: number if conditions.is_number(field) else text)
        assert truth.holds.shape == truth.fails.shape == (2,)
        assert not (truth.holds & truth.fails).any()

    fuzz(2 * examples, texts | st.text(), check)


@few_or_many
def test_weights(examples: int) -> None:
    library: Any = SimpleNamespace(dimensions=("genre", "tempo"))
    tokens = ["genre", "tempo", "=", ",", "1", "-2", "nan", "inf", "1e999", "_", " ", "0x1", "key"]
    texts = st.lists(st.sampled_from(tokens) | st.text(max_size=2), max_size=12).map("".join)

    def check(text: str) -> None:
        try:
            weights = query.parse_weights(text)
            found = query.weight_vector(library, weights)
        except ValueError as error:
            assert "weights" in str(error)
            return
        assert found.shape == (2,) and np.isfinite(found).all()

    fuzz(2 * examples, texts | st.text(), check)
