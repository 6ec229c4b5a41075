"""The texts that methods of the lab are fitted to: answers to the project's training prompts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from alignment.kinds.settings.overlong import OverlongName
from alignment.models.overlong import Reader, fitting_labels, fitting_prompts
from alignment.models.policies import Policy
from alignment.models.texts import Written, written
from alignment.reward.labels import divided
from alignment.sampling.sampling import sample
from alignment.seam.errors import ConfigError
from alignment.seam.events import Fitted
from alignment.seam.progress import in_batches
from alignment.seam.records import DemonstrationRecord, PairRecord, PromptRecord, read_jsonl
from alignment.seam.words import _

BATCH = 32  # prompts
HELD_OUT = 0.2  # share of the prompts whose answers only measure


class Texts(NamedTuple):
    """Answers as tokens, each with the key of its prompt."""

    rows: list[Written]
    keys: list[str]


class ChosenAnswers(NamedTuple):
    """A snapshot's preferred answers: those to be fitted to, those of other prompts to measure by, and their count."""

    fitted: Texts
    held: Texts
    told: Fitted


def chosen_answers(
    file: Path, policy: Policy, folder: Path, overlong: OverlongName
) -> ChosenAnswers:
    """The preferred answers of a file of pairs, by prompt; raises DataError where they are too few."""
    pairs = read_jsonl(file, PairRecord)
    said = {(pair.prompt.key, pair.chosen): pair for pair in pairs if pair.chosen.strip()}
    records = [
        DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen) for pair in said.values()
    ]
    kept, told = fitting_labels(records, "pairs", [Reader.of(folder)], overlong)
    fitted, held = divided(kept, HELD_OUT)
    return ChosenAnswers(as_texts(policy, fitted), as_texts(policy, held), told)


def as_texts(policy: Policy, records: Sequence[DemonstrationRecord]) -> Texts:
    """Somebody's answers as a policy reads them."""
    rows = [written(policy, one.prompt.messages, one.completion) for one in records]
    return Texts(rows, [one.prompt.key for one in records])


def own_answers(
    policy: Policy, prompts: Sequence[PromptRecord], max_new_tokens: int, seed: int, count: int = 1
) -> Texts:
    """So many answers of the policy to each prompt, drawn as it is served."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[Written] = []
    for batch in in_batches(prompts, BATCH, _("answers"), count):
        drawn = sample(
            policy,
            [policy.prompt_ids(prompt.messages) for prompt in batch],
            completions=count,
            max_new_tokens=max_new_tokens,
            generator=generator,
        )
        both = zip(drawn.prompts, drawn.completion_ids(), strict=True)
        rows += [Written(prompt, tuple(ids)) for prompt, ids in both]
    return Texts(rows, [prompt.key for prompt in prompts for _answer in range(count)])


class LabPrompts(NamedTuple):
    """Prompts that a method may be fitted to, and others that measure it."""

    training: list[PromptRecord]
    held_out: list[PromptRecord]
    told: tuple[Fitted, ...]


def lab_prompts(
    inputs: Mapping[str, Path], policy: Path, room: int, overlong: OverlongName
) -> LabPrompts:
    """The prompts that leave room for an answer; without held-out ones, a fifth of the others. Raises DataError."""
    reader = Reader.of(policy)

    def fitting(role: str) -> tuple[list[PromptRecord], Fitted]:
        rows = list(read_jsonl(inputs[role], PromptRecord))
        return fitting_prompts(rows, role, [reader], room, overlong)

    training, told = fitting("prompts")
    if "held_out" in inputs:
        held, more = fitting("held_out")
        return LabPrompts(training, held, (told, more))
    places = {one.key for one in training[:: round(1 / HELD_OUT)]}
    held = [one for one in training if one.key in places]
    rest = [one for one in training if one.key not in places]
    if not rest:
        raise ConfigError(_("There is one prompt; add more, of which some measure the result."))
    return LabPrompts(rest, held, (told,))


@contextmanager
def watching(layers: Mapping[str, nn.Module], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Inside, tell all that these layers read, (n, in) at a time, each by its name."""
    handles = []
    for name, layer in layers.items():

        def hook(_layer: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            see(name, inputs[0].detach().reshape(-1, inputs[0].shape[-1]))

        handles.append(layer.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
