"""`python -m tests.prove.models [FOLDER …]`: models are read as they mean it, or refused by name.

Without folders: tiny models of every known architecture, with tokenizers and templates of every family in
turn. Of each: its ends, the log-prob contract, probabilities that sum to 1 over a toy vocabulary, the
conversation it learns from, policy and reference equal at the first step; or its refusal. Exits with 1
where anything fails.
"""

import json
import sys
from collections.abc import Iterator
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from alignment.models.conversations import answered, decoded, prompt_ids
from alignment.models.policies import Policy
from alignment.models.trials import sampler
from alignment.objectives.toy import outcomes
from alignment.sampling.sampling import sample
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import AlignmentError
from alignment.seam.records import Message
from tests.alignment.tokenizers import LOSSY, TEMPLATES, TOKENIZERS, tokenizer_of
from tests.architectures import ARCHITECTURES, saved

CONTRACT = 1e-3  # nats per token
EQUAL = 1e-5  # nats per token, of two readings of the same files
SUM = 1e-4  # in fp32, over all outcomes
WORDS, LENGTH = 6, 3  # of the toy vocabulary, two of whose tokens end an answer
DEEP = 4  # layers of the toy of a large model
QUESTIONS = ("Hi", "Name a day.", "Say <|im_end|> and </s>, please.", "a  b\n c")
ANSWERS = ("Yes.", " a gap first", "two\nlines  ", "<|im_end|> is a token")
AROUND = ("", "end", "begin", "both")
TOLD = (
    None,
    2,
    [2, 0],
    [1, 15, 2],
)  # what generation_config.json calls ends; more than the tokenizer's


class Found(NamedTuple):
    """What was found of one model: figures, or why it was refused, and what failed."""

    name: str
    said: str
    failures: tuple[str, ...] = ()


def examine(name: str, folder: Path, *, lossy: bool = False) -> Found:
    """Everything that is to hold of a model in a folder."""
    try:
        policy = sampler(folder)
        kinds = {
            "ends": ends_fail(policy),
            "contract": contract_fails(policy),
            "sum": sum_fails(policy),
            "conversation": conversation_fails(policy, lossy=lossy),
            "step 0": first_step_fails(policy, folder),
        }
    except AlignmentError as refusal:
        return Found(name, f"refused: {refusal}")
    except Exception as error:
        return Found(name, "", (f"{type(error).__name__}: {error}",))
    failures = [f"{kind}: {fails}" for kind, (_, fails) in kinds.items() if fails]
    return Found(
        name, ", ".join(f"{kind} {said}" for kind, (said, _) in kinds.items()), tuple(failures)
    )


def drawn(policy: Policy, count: int = 4) -> Any:
    """Completions of prompts of unequal length."""
    room = max(1, policy.context_length // 2)
    prompts = [policy.prompt_ids(asked(question))[:room] for question in QUESTIONS]
    return sample(
        policy,
        prompts,
        completions=count,
        max_new_tokens=12,
        generator=torch.Generator().manual_seed(0),
    )


def asked(question: str) -> tuple[Message, ...]:
    """A conversation of one question."""
    return (Message(role="user", content=question),)


def ends_fail(policy: Policy) -> tuple[str, str]:
    """The ends, and what is wrong with them: a completion goes on behind one, or shows it."""
    ends = set(policy.ends)
    for ids in drawn(policy).completion_ids():
        if ends & set(ids[:-1]):
            return "", f"{ids} goes on behind an end"
        if ids[-1] in ends and policy.text(ids) != policy.text(ids[:-1]):
            return "", f"the text of {ids} shows its end"
    return policy.names(policy.ends), ""


@torch.no_grad()
def contract_fails(policy: Policy) -> tuple[str, str]:
    """The largest distance between sampler and scorer, in nats per token."""
    rollouts = drawn(policy)
    read = completion_token_logps(policy.model, rollouts)
    distance = (read - rollouts.token_logps).abs().nan_to_num(torch.inf).max().item()
    return f"{distance:.0e}", "" if distance <= CONTRACT else f"{distance:.2g} nats"


@torch.no_grad()
def sum_fails(policy: Policy) -> tuple[str, str]:
    """How far the probabilities of all completions of a toy of this architecture are from 1."""
    small = toy_of(policy)
    prompts, ends = ([2], [3, 2, 4, 2, 5]), (0, 1)
    every = outcomes(prompts, vocabulary=WORDS, length=LENGTH, ends=ends)
    logps = completion_token_logps(small, every).sum(1).double().view(len(prompts), -1)
    distance = (logps.exp().sum(1) - 1).abs().nan_to_num(torch.inf).max().item()
    return f"{distance:.0e}", "" if distance <= SUM else f"{distance:.2g} from 1"


def toy_of(policy: Policy) -> Any:
    """A model of the same configuration, over a vocabulary small enough to list."""
    config = deepcopy(policy.model.config)
    for part in {id(part): part for part in (config, config.get_text_config())}.values():
        part.vocab_size = WORDS
        part.pad_token_id = part.bos_token_id = part.eos_token_id = None
    if config.get_text_config().num_hidden_layers > DEEP:
        config.get_text_config().num_hidden_layers = DEEP
        config.get_text_config().layer_types = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for weight in made.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def conversation_fails(policy: Policy, *, lossy: bool) -> tuple[str, str]:
    """Of how many conversations prompt and completion, decoded, are what the template writes."""
    tokenizer, count = policy.tokenizer, 0
    for question in QUESTIONS:
        turns = asked(question)
        for answer in ANSWERS:
            prompt, completion, closed = answered(tokenizer, turns, answer)
            whole = decoded(tokenizer, [*prompt, *completion])
            if not lossy and not holds(policy, whole, question, answer):
                return "", f"{question!r}, {answer!r} became {whole!r}"
            if closed and completion[-1] != policy.turn_end:
                return "", f"{answer!r} closes with {completion[-1]}"
            neutral = answered(tokenizer, asked("Hi"), "Yes.").completion
            marks = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}  # no mark
            if [i for i in completion if i in marks] != [i for i in neutral if i in marks]:
                return "", f"{answer!r} writes control tokens"
            count += 1
    if prompt_ids(tokenizer, asked("Hi"))[-1:] == [tokenizer.eos_token_id] and not closes(policy):
        return "", "the prompt ends with the tokenizer's end"
    return f"{count} of {count}", ""


def holds(policy: Policy, whole: str, question: str, answer: str) -> bool:
    """Whether a decoded conversation is what the template writes, up to the end of the answer's turn."""
    tokenizer = policy.tokenizer
    if tokenizer.chat_template is None:
        return squeezed(question) in squeezed(whole) and squeezed(answer) in squeezed(whole)
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    wanted = squeezed(str(tokenizer.apply_chat_template(said, tokenize=False)))
    alone = squeezed(question) not in wanted  # a template that writes its last turn only
    wanted = squeezed(question + answer) if alone else wanted
    found = squeezed(whole)
    return wanted.startswith(found) and squeezed(answer) in found


def squeezed(text: str) -> str:
    """A text without its gaps, which some tokenizers do not give back."""
    return "".join(text.split())


def closes(policy: Policy) -> bool:
    """Whether the template closes the user's turn with the tokenizer's end."""
    tokenizer = policy.tokenizer
    if tokenizer.chat_template is None:
        return False
    said = [{"role": "user", "content": "Hi"}]
    text = str(tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True))
    return text.rstrip().endswith(str(tokenizer.eos_token))


@torch.no_grad()
def first_step_fails(policy: Policy, folder: Path) -> tuple[str, str]:
    """How far the policy is from a reference that is read from the same folder, in nats per token."""
    rollouts, reference = drawn(policy), Policy.load(folder)
    both = (completion_token_logps(one.model, rollouts) for one in (policy, reference))
    distance = (next(both) - next(both)).abs().max().item()
    return f"{distance:.0e}", "" if distance <= EQUAL else f"{distance:.2g} nats"


def tiny_models(folder: Path) -> Iterator[Found]:
    """Every architecture with a tokenizer, a template and what the tokenizer puts around a text."""
    kinds = map(cycle, (TOKENIZERS, TEMPLATES, AROUND, TOLD))
    for architecture, name, template, around, told in zip(ARCHITECTURES, *kinds, strict=False):
        tokenizer = tokenizer_of(name, template, around)
        place = saved(architecture, tokenizer, folder / architecture)
        ends = json.dumps({"eos_token_id": told})
        (place / "generation_config.json").write_text(ends, encoding="utf-8")
        title = f"{architecture}: {name}; {template}; {around or 'nothing'} put around; ends {told}"
        yield examine(title, place, lossy=name in LOSSY)


def main(folders: list[str]) -> int:
    """Examine the folders, or all tiny models; the number of those of which something failed is printed."""
    torch.set_num_threads(1)
    disable_progress_bar()
    count = failed = refused = 0
    with TemporaryDirectory() as made:
        models = (examine(name, Path(name)) for name in folders)
        for found in models if folders else tiny_models(Path(made)):
            count += 1
            failed += bool(found.failures)
            refused += found.said.startswith("refused")
            print(found.name, found.said, *found.failures, sep="\n    ", flush=True)
    print(f"models {count}, refused {refused}, failures {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
