"""Foreign model folders, looked at in a fork: each hostile one is refused by file and cause."""

import os
import shutil
import signal
import time

import pytest
import torch

from alignment.foreign import forks
from alignment.foreign.forks import judged
from alignment.models import checks as modelchecks
from alignment.models.checks import check_apart, growth
from alignment.models.policies import Policy
from alignment.seam.errors import ConfigError, DataError
from tests.alignment.conftest import hurried
from tests.cases import cases
from tests.prove.attacks import ATTACKS, make

SAMPLE = {
    "chat_template.jinja/loops": "chat_template.jinja did not finish within 1 s",
    "chat_template.jinja/tojson indent": "chat_template.jinja asked for more than 1 GB",
    "chat_template.jinja/recursion": "RecursionError",
    "chat_template.jinja/include": "no loader",
    "chat_template.jinja/unclosed": "no chat template that can be used",
    "tokenizer.json/back references": "tokenizer.json does not read every text: PanicException",
    "tokenizer.json/doubled": "tokenizer.json replaces letters",
    "tokenizer.json/put between letters": "tokenizer.json did not finish within 1 s",
    "tokenizer.json/text many times": "tokenizer.json makes",
    "tokenizer.json/padding": "tokenizer.json ended the program that read it",
    "tokenizer.json/deep JSON": "tokenizer.json is not JSON",
    "tokenizer.json/long token": "token of 1,000,000 letters",
    "tokenizer_config.json/length of text": "tokenizer_config.json does not read every text",
    "tokenizer_config.json/templates without a default": "tokenizer_config.json holds no template",
    "config.json/wide": "config.json describes 585,000,000,000 weights",
    "config.json/many layers": "config.json describes 1,000,000,000 layers",
    "config.json/wide heads": "config.json asks for",
    "config.json/no heads": "config.json cannot be understood: ZeroDivisionError",
    "config.json/generation of text": "generation_config.json cannot be understood",
    "model.safetensors/giant length": "model.safetensors is cut short",
    "model.safetensors/overlap": "model.safetensors has a header with gaps or overlaps",
    "model.safetensors/deep": "model.safetensors has a damaged header",
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return make(tmp_path_factory.mktemp("models") / "good")


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "model")


@cases("name", SAMPLE)
def test_a_hostile_folder_is_refused_by_file_and_cause(folder, name, monkeypatch):
    cause = SAMPLE[name]
    monkeypatch.setattr(forks, "SECONDS", 1 if "finish" in cause else 2)
    ATTACKS[name](folder)
    with hurried(cause), pytest.raises(DataError) as refused:
        check_apart(folder)
    assert cause in str(refused.value)
    assert len(str(refused.value)) < 600


def test_whoever_loads_a_policy_looks_first(folder):
    ATTACKS["tokenizer.json/padding"](folder)
    with pytest.raises(DataError, match=r"tokenizer\.json ended the program"):
        Policy.load(folder)


def test_a_good_folder_is_looked_at_once_until_it_changes(folder, monkeypatch):
    monkeypatch.setattr(modelchecks, "_fine", set())
    forked = []
    monkeypatch.setattr(modelchecks, "judged", lambda *asked: forked.append(1) or judged(*asked))
    for _ in range(3):
        check_apart(folder)
    assert len(forked) == 1
    ATTACKS["config.json/no heads"](folder)
    with pytest.raises(DataError, match="ZeroDivisionError"):
        check_apart(folder)


def test_a_pipe_in_place_of_a_file_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(DataError, match=r"tokenizer\.json is not a plain file"):
        check_apart(folder)


def test_a_folder_without_files_is_left_to_its_loader(tmp_path):
    check_apart(tmp_path)
    check_apart(tmp_path / "nowhere")


def test_what_a_check_finds_comes_back():
    assert judged(lambda tell: {"a": [1, "é"]}) == {"a": [1, "é"]}


def test_a_refusal_keeps_its_kind():
    def refuse(_):
        raise ConfigError("no such thing")

    with pytest.raises(ConfigError, match=r"^no such thing$"):
        judged(refuse)


def endless(tell):
    tell("a.json")
    while True:
        pass


def waiting(tell):
    tell("a.json")
    time.sleep(60)


def hungry(tell):
    tell("a.json")
    return len(bytearray(3 << 30))


def hungry_tensor(tell):
    tell("a.json")
    return float(torch.zeros(3 << 28).sum())


def raising(tell):
    tell("a.json")
    raise KeyError("what")


def killed_by(number):
    def check(tell):
        tell("a.json")
        os.kill(os.getpid(), number)

    return check


@pytest.mark.parametrize(
    ("check", "cause"),
    [
        pytest.param(endless, "did not finish within 1 s", marks=pytest.mark.slow),
        (waiting, "did not finish within 1 s"),
        (hungry, "asked for more than 960 MiB of memory"),
        (hungry_tensor, "cannot be read: RuntimeError"),
        (raising, "cannot be read: KeyError: 'what'"),
        (killed_by(signal.SIGABRT), "asks for more than 960 MiB of memory, or is nested"),
        (killed_by(signal.SIGSEGV), "asks for more than 960 MiB of memory, or is nested"),
        (killed_by(signal.SIGKILL), r"ended the program that read it \(status -9\)"),
    ],
)
def test_what_a_check_runs_into_is_told_with_its_file(check, cause, monkeypatch):
    monkeypatch.setattr(forks, "SECONDS", 1)
    monkeypatch.setattr(
        forks, "PATIENCE", 1 if check is waiting else 20
    )  # others may be kept waiting
    with pytest.raises(DataError, match=rf"^a\.json .*{cause}"):
        judged(check)


def test_replacements_multiply():
    def one(content, **pattern):
        return {"type": "Replace", "pattern": pattern, "content": content}

    several = {"type": "Sequence", "normalizers": [one("aa", String="a"), one("bbb", Regex=".")]}
    assert growth(several) == 6
    assert growth({"type": "Sequence", "normalizers": [several, one("", String="a")]}) == 6
    assert growth(one("x", String="abc")) == growth({"type": "Lowercase"}) == growth(None) == 1
