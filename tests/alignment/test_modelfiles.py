"""Headers of safetensors, read without a loader."""

import json
import struct

import pytest
from safetensors.torch import load_file

from alignment.seam.errors import DataError
from alignment.seam.modelfiles import header_of, wanted


def header(**rows):
    text = json.dumps(rows).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_header_names_every_tensor(policy_folder):
    rows = {name: shape for name, _, shape in header_of(policy_folder / "model.safetensors")}
    expected = {
        name: tuple(t.shape) for name, t in load_file(policy_folder / "model.safetensors").items()
    }
    assert rows == expected


@pytest.mark.parametrize("row", [
    {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
    {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, 4]},
    {"shape": [1]},
    7,
])  # fmt: skip
def test_a_header_of_another_form_is_refused(tmp_path, row):
    path = tmp_path / "model.safetensors"
    path.write_bytes(header(weight=row) + b"0000")
    with pytest.raises(DataError, match="damaged header"):
        header_of(path)


@pytest.mark.parametrize("name", ["target.json", "receipts.json"])
def test_what_a_foreign_model_says_of_its_own_training_is_not_believed(name):
    assert wanted("config.json")
    assert not wanted(name)
