"""Imitation (supervised fine-tuning): raise the likelihood of completions, and only theirs.

The prompt's tokens add nothing to the loss.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import grouped_interval
from alignment.models.control_tokens import controls, counted
from alignment.models.conversations import first_tokens
from alignment.models.distributed import shard
from alignment.models.lora import size_of
from alignment.models.overlong import Fitting, Reader, fitting_labels
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of, written
from alignment.models.training import (
    Progress,
    Run,
    StepLoss,
    Trainee,
    fit,
    in_parts,
    ready,
    scored,
)
from alignment.reward.labels import divided
from alignment.reward.selection import choosing, passed_over
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import DataError
from alignment.seam.events import Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, taking
from alignment.seam.records import DemonstrationRecord, PairRecord, read_jsonl
from alignment.seam.words import _

MIN_DEMONSTRATIONS = 2
ALPACA = "### Instruction:\n{prompt}\n\n### Response:\n"
PLACE = "{prompt}"


def imitate(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind sft: train `policy` on `demonstrations`, or on the chosen sides of `pairs`."""
    config = SftConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    records, told = fitting_demonstrations(spec, folder, config)
    if not told.all_fit:
        yield told
    known, held = divided(records, config.held_out)
    fitted = yield from choosing(folder / spec.inputs["policy"], config, known, spec.seed)
    loaded = with_template(Policy.load(folder / spec.inputs["policy"], "policy"), config)
    one, run = Trainee.of(loaded, config, spec.seed), Run.of(spec, folder)
    policy = one.policy
    yield ready(policy, len(fitted), config, run)
    rows = [written(policy, record.prompt.messages, record.completion) for record in fitted]
    lengths, loss = [row.length for row in rows], imitation_step(policy, rows)
    if (yield from fit(one, config, lengths, loss, run)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    judged = [written(policy, record.prompt.messages, record.completion) for record in held]
    with counting(len(judged), _("completions")), taking(1):
        nll = -scored(policy, judged) / torch.tensor([len(row.completion) for row in judged])
    keys = [record.prompt.key for record in held]
    summary = {
        "nll": grouped_interval(nll.tolist(), keys, unit="nats / token").model_dump(),
        "demonstrations_train": len(rows),
        "demonstrations_heldout": len(judged),
        **passed_over(known, fitted),
        "demonstrations_without_words": sum(
            not row.completion.strip() for row in _given(spec, folder)
        ),
        "rows": [told.counts],
        "parameters": size_of(policy.model),
        **_control_tokens(policy, records),
    }
    with committed(folder / "output") as output:
        one.result.save(output)
    yield Finished(summary=summary)


def fitting_demonstrations(spec: RunSpec, folder: Path, config: SftConfig) -> Fitting:
    """What is imitated, as far as the policy's context takes it by the template that it will have."""
    reader = Reader.of(folder / spec.inputs["policy"])
    set_template(reader.tokenizer, config)
    role = next(role for role in ("demonstrations", "pairs") if role in spec.inputs)
    return fitting_labels(demonstrations(spec, folder), role, [reader], config.overlong)


def _given(spec: RunSpec, folder: Path) -> Iterator[DemonstrationRecord]:
    """The demonstrations of a run, or the chosen sides of its pairs."""
    if "demonstrations" in spec.inputs:
        yield from read_jsonl(folder / spec.inputs["demonstrations"], DemonstrationRecord)
    else:
        for pair in read_jsonl(folder / spec.inputs["pairs"], PairRecord):
            yield DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen)


def demonstrations(spec: RunSpec, folder: Path) -> list[DemonstrationRecord]:
    """What is imitated, each once and with words; raises DataError where there is too little of it."""
    found = list(_given(spec, folder))
    kept = {(row.prompt.key, row.completion): row for row in found if row.completion.strip()}
    if len(kept) < MIN_DEMONSTRATIONS:
        raise DataError(
            _("There are {n} completions to imitate; collect more.").format(n=len(kept))
        )
    return list(kept.values())


def _control_tokens(policy: Policy, records: Sequence[DemonstrationRecord]) -> dict[str, int]:
    """How many prompts and answers hold control tokens, which are text there, where some do."""
    held = controls(policy.tokenizer).held
    return counted(held, (row.prompt for row in records), (row.completion for row in records))


def with_template(policy: Policy, config: SftConfig) -> Policy:
    """The policy, reading prompts by the settings' template; it is saved with the tokenizer."""
    set_template(policy.tokenizer, config)
    return policy


def set_template(tokenizer: PreTrainedTokenizerBase, config: SftConfig) -> None:
    """Let a tokenizer write prompts by the settings' template."""
    text = {"own": "", "alpaca": ALPACA, "custom": config.custom_template}[config.prompt_template]
    if text:
        tokenizer.chat_template = chat_template(tokenizer, text)


def chat_template(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """Jinja that writes every turn of the user's as `text` says, and others as they are, in paragraphs."""
    before, after = (repr(part) for part in text.split(PLACE))
    begins = first_tokens(tokenizer, PLACE) == [tokenizer.bos_token_id]
    start = repr(tokenizer.bos_token if begins else "")
    return (
        f"{{{{ {start} }}}}"
        "{% for turn in messages %}"
        "{% if turn['role'] == 'user' %}"
        f"{{{{ {before} }}}}{{{{ turn['content'] }}}}{{{{ {after} }}}}"
        "{% else %}{{ turn['content'] }}{{ '\n\n' }}{% endif %}"
        "{% endfor %}"
    )


def imitation_step(policy: Policy, rows: Sequence[Written]) -> StepLoss:
    """The mean negative log-likelihood per token of a batch of completions."""

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        mine, share = shard(batch)
        tokens = sum(len(rows[place].completion) for place in batch)
        ours = [rows[place] for place in mine]
        for part in in_parts(policy, [row.length for row in ours]):
            rollouts = rollouts_of(policy, [ours[place] for place in part])
            logps = completion_token_logps(policy.model, rollouts)
            loss = -logps.sum() * (share > 0) / tokens
            yield loss, {"nll/token": loss.item()}

    return step
