"""A tiny policy that every test of the engine can afford."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from alignment.foreign import isolation
from alignment.models.policies import Policy
from alignment.objectives.toy import random_gpt2
from alignment.reward.model import RewardModel
from alignment.seam.folders import committed
from tests.words import WORDS

PAD, END = "<|pad|>", "<|end|>"
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tiny_tokenizer(*, pad_is_end: bool = False) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of sixteen entries with a chat template."""
    roles = ["<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {word: place for place, word in enumerate([PAD, END, *roles, "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END if pad_is_end else PAD,
        unk_token="<unk>",
        extra_special_tokens=roles,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def tiny_policy(*, vocabulary: int = 16, seed: int = 0, pad_is_end: bool = False) -> Policy:
    """A random GPT-2 of two layers and width 16, with logits far from uniform."""
    tokenizer = tiny_tokenizer(pad_is_end=pad_is_end)
    return Policy(deepcopy(drawn_gpt2(vocabulary, seed, pad_is_end=pad_is_end)), tokenizer)


@cache
def drawn_gpt2(vocabulary: int, seed: int, *, pad_is_end: bool) -> GPT2LMHeadModel:
    """Drawn once: to copy it takes half as long."""
    tokenizer = tiny_tokenizer(pad_is_end=pad_is_end)
    return random_gpt2(tokenizer, vocabulary=vocabulary, seed=seed)


def sealed(model: Policy | RewardModel, folder: Path) -> Path:
    """Keep it there as a run of ours does: what was looked at as it was written is not looked at whenever it is read."""
    with committed(folder, synced=False) as aside:
        model.save(aside)
    return folder


@contextmanager
def hurried(cause: str) -> Iterator[None]:
    """Within limits that are soon reached what somebody wrote should fail for this cause.

    Where it should not end, the clock says so: that computing has a limit of its own is another test's.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolation, "SECONDS", 1)
        if cause.endswith("1 s"):
            patch.setattr(isolation, "PATIENCE", 0.2)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """The machine's cores are shared, and sums must not depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def policy() -> Policy:
    return tiny_policy()


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.fixture(scope="session")
def saved_policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny policy's folder, to be copied."""
    return sealed(tiny_policy(), tmp_path_factory.mktemp("policy") / "whole")


@pytest.fixture
def policy_folder(saved_policy: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved_policy, tmp_path / "policy")
