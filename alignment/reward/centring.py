"""Where a reward of 0 is and how much a reward of 1: by labelled completions, or by the reference's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from alignment.models.conversations import text_ids
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.reward.model import RewardModel
from alignment.sampling.sampling import sample
from alignment.seam.errors import DataError
from alignment.seam.progress import through
from alignment.seam.records import LabelRecord, PromptRecord, texts_of
from alignment.seam.words import _

PROMPTS, COMPLETIONS = 64, 4  # of the reference
BATCH = 16  # prompts
USUAL = 0.95  # share of the labelled completions that the reference's may be as long as


def standardised(model: RewardModel, raw: Tensor) -> RewardModel:
    """The model with mean 0 and deviation 1 over raw (n, heads): beta means the same everywhere."""
    scale = max(raw.mean(1).std().item(), 1e-6)
    return replace(model, center=tuple(raw.mean(0).tolist()), scale=scale)


def reference_texts(
    model: RewardModel, folder: Path, labels: Sequence[LabelRecord], seed: int
) -> list[tuple[str, list[int]]]:
    """Completions that the model in `folder` draws for labelled prompts, as `model` reads them, by prompt.

    They end, or are cut where most labelled completions have ended. Raises DataError where the model
    draws none, or the prompts leave it no room.
    """
    reference = Policy.load(folder, "reference")
    limit = usual_length(reference, labels)
    known = {label.prompt.key: label.prompt for label in labels}
    room = reference.room(limit)
    asked = [prompt for _, prompt in sorted(known.items()) if _tokens(reference, prompt) <= room]
    if not asked:
        raise DataError(
            _(
                "No labelled prompt leaves the reference room to answer it; take labelled "
                "completions for the zero of the reward."
            )
        )
    generator = torch.Generator().manual_seed(seed)
    read = []
    for prompt, text in _drawn(reference, asked[:PROMPTS], limit, generator):
        read.append((prompt.key, model.read(prompt.messages, text)[0]))
    return read


def _drawn(
    reference: Policy, prompts: Sequence[PromptRecord], limit: int, generator: torch.Generator
) -> Iterator[tuple[PromptRecord, str]]:
    """Each prompt with each of its completions."""
    starts = range(0, len(prompts), BATCH)
    for start in through(starts, len(starts)):
        batch = prompts[start : start + BATCH]
        rollouts = sample(
            reference,
            [reference.prompt_ids(prompt.messages) for prompt in batch],
            completions=COMPLETIONS,
            max_new_tokens=limit,
            generator=generator,
        )
        for row, text in enumerate(drawn_texts(reference, rollouts)):
            yield batch[row // COMPLETIONS], text


def usual_length(reference: Policy, labels: Sequence[LabelRecord]) -> int:
    """Tokens that all but the longest labelled completions have, at most half of the context."""
    texts = {text for label in labels for text in texts_of(label)}
    tokens = sorted(len(text_ids(reference.tokenizer, text)) for text in texts)
    usual = tokens[min(len(tokens) - 1, int(USUAL * len(tokens)))] + 1  # with the end token
    return min(usual, reference.context_length // 2)


def _tokens(reference: Policy, prompt: PromptRecord) -> int:
    return len(reference.prompt_ids(prompt.messages))
