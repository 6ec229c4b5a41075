"""What a frozen backbone says of sequences, kept by hash: read once, found again, never half there."""

import os

import pytest
import torch

from alignment.reward import features
from alignment.reward.features import FeatureStore, FeatureTable, digest_of, folder_identity
from alignment.reward.model import RewardModel
from alignment.seam.folders import committed
from tests.alignment.conftest import tiny_policy

SEQUENCES = [[5, 6, 7], [5, 6], [8, 9, 10, 11], [5, 6, 7]]


@pytest.fixture(scope="module")
def model(saved_policy):
    return RewardModel.fresh(saved_policy)


@pytest.fixture
def read(model, monkeypatch):
    """The sequences that the model has read, in their order."""
    seen, plain = [], RewardModel.features

    def noting(self, sequences):
        seen.extend(map(tuple, sequences))
        return plain(self, sequences)

    monkeypatch.setattr(RewardModel, "features", noting)
    return seen


@pytest.fixture
def store(tmp_path, saved_policy):
    return FeatureStore.of(tmp_path, saved_policy, "fp32")


def test_a_sequence_is_read_once_and_as_the_model_reads_it(model, read):
    table = FeatureTable(model)
    found = table.of(SEQUENCES)
    assert read == [(5, 6, 7), (5, 6), (8, 9, 10, 11)]
    torch.testing.assert_close(found, model.features(SEQUENCES))
    del read[:]
    assert torch.equal(table.of([[5, 6], [1, 2]])[0], found[1])
    assert read == [(1, 2)]


def test_a_second_table_finds_what_the_first_one_kept(model, read, store):
    first = FeatureTable(model, store).of(SEQUENCES)
    del read[:]
    assert torch.equal(FeatureTable(model, store).of(SEQUENCES), first)
    assert read == []
    FeatureTable(model, store).of([*SEQUENCES, [3, 4]])
    assert read == [(3, 4)]


def test_another_model_and_another_way_of_reading_are_another_folder(tmp_path, saved_policy, store):
    (tmp_path / "other").mkdir()
    tiny_policy(seed=3).save(tmp_path / "other")
    assert FeatureStore.of(tmp_path, tmp_path / "other", "fp32").folder != store.folder
    assert FeatureStore.of(tmp_path, saved_policy, "bf16").folder != store.folder
    assert FeatureStore.of(tmp_path, saved_policy, "fp32").folder == store.folder


def test_a_sealed_folder_is_known_by_its_manifest(tmp_path):
    with committed(tmp_path / "run") as folder:
        tiny_policy().save(folder)
        (folder / "inner").mkdir()
        tiny_policy().save(folder / "inner")
    told = {folder_identity(place) for place in (tmp_path / "run", tmp_path / "run" / "inner")}
    assert len(told) == 2
    (tmp_path / "run" / "config.json").touch()
    os.utime(tmp_path / "run" / "config.json", (2**31, 2**31))  # newer than its manifest
    assert folder_identity(tmp_path / "run") not in told


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None])
def test_a_damaged_file_is_removed_and_computed_again(model, store, damage):
    first = FeatureTable(model, store).of(SEQUENCES)
    (path,) = store.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-8] if damage is None else damage)
    assert torch.equal(FeatureTable(model, store).of(SEQUENCES), first)
    assert len(store.known([digest_of(ids) for ids in SEQUENCES])) == 3


def test_what_was_not_asked_for_the_longest_goes_first(store, monkeypatch):
    rows = torch.ones(1, 64)
    names = [digest_of([number]) for number in range(3)]
    for place, name in enumerate(names[:2]):
        store.keep([name], rows)
        (newest,) = set(store.folder.iterdir()) - set(store.folder.glob("seen-*"))
        newest.rename(newest.with_name(f"seen-{place}.safetensors"))
        os.utime(store.folder / f"seen-{place}.safetensors", (place, place))
    monkeypatch.setattr(features, "MOST", 2 * newest.with_name("seen-1.safetensors").stat().st_size)
    store.keep([names[2]], rows)
    assert set(store.known(names)) == set(names[1:])


def test_a_cache_that_cannot_be_written_costs_time_alone(model, tmp_path):
    (tmp_path / "file").write_text("no folder")
    store = FeatureStore(tmp_path / "file" / "features")
    torch.testing.assert_close(FeatureTable(model, store).of(SEQUENCES), model.features(SEQUENCES))
