"""Imitation (supervised fine-tuning): raise the likelihood of completions, and only theirs.

The prompt's tokens add nothing to the loss.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from alignment.kinds.sft.settings import SftConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.estimators import grouped_interval
from alignment.models.bounds import HELD_OUT, HeldOut
from alignment.models.control_tokens import controls, counted
from alignment.models.conversations import first_tokens
from alignment.models.devices import Placement
from alignment.models.distributed import shard
from alignment.models.lora import size_of
from alignment.models.overlong import Fitting, Reader, fitting_labels
from alignment.models.policies import Policy
from alignment.models.texts import Written, written, written_turns
from alignment.models.training import (
    Progress,
    Run,
    StepLoss,
    Trainee,
    TrainingSet,
    fit,
    in_parts,
    learned_logps,
    ready,
    scored,
)
from alignment.reward.labels import held_apart
from alignment.reward.selection import choosing, passed_over
from alignment.sampling.joint_rows import check_joint, full_rows, joint_logps
from alignment.seam.errors import DataError
from alignment.seam.events import Finished, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, taking
from alignment.seam.records import DemonstrationRecord, Message, PairRecord, read_jsonl
from alignment.seam.words import _

MIN_DEMONSTRATIONS = 2
ALPACA = "### Instruction:\n{prompt}\n\n### Response:\n"
PLACE = "{prompt}"


def imitate(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind sft: train `policy` on `demonstrations`, or on the chosen sides of `pairs`."""
    config = SftConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    given, own = (
        fitting_demonstrations(spec, folder, config),
        own_demonstrations(spec, folder, config),
    )
    told, records = [one.told for one in (given, own) if one], given.rows
    yield from (one for one in told if not one.all_fit)
    known, held = held_apart(records, own.rows if own else None, config.held_out)
    fitted = yield from choosing(folder / spec.inputs["policy"], config, known, spec.seed)
    placement = Placement.of(config, learns=True)
    start = Policy.load(folder / spec.inputs["policy"], "policy", placement=placement)
    loaded = with_template(start, config)
    one, run = Trainee.of(loaded, config, spec.seed), Run.of(spec, folder)
    policy = one.policy
    rows = [row for record in fitted for row in rows_of(policy, record, config)]
    judged = [
        (row, record.prompt.key) for record in held for row in rows_of(policy, record, config)
    ]
    if config.packing:
        check_joint(policy, rows)
    yield ready(policy, len(rows), config, run)
    step = imitation_step(policy, rows, packing=config.packing)
    data = TrainingSet([row.length for row in rows], step)
    looked_at = HeldOut.of(lambda: held_loss(policy, judged), config, len(judged))
    if (yield from fit(one, config, data, run, looked_at)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    summary = {
        **measured_loss(policy, judged),
        "demonstrations_train": len(fitted),
        "demonstrations_heldout": len(held),
        **passed_over(known, fitted),
        "demonstrations_without_words": sum(
            not row.completion.strip() for row in _given(spec, folder)
        ),
        "rows": [one.counts for one in told],
        **data.progress.told,
        "parameters": size_of(policy.model),
        **_control_tokens(policy, records),
    }
    with committed(folder / "output") as output:
        one.save(output, config)
    yield Finished(summary=summary)


Judged = Sequence[tuple[Written, str]]  # rows, with the keys of their prompts


def rows_of(policy: Policy, record: DemonstrationRecord, config: SftConfig) -> list[Written]:
    """What is learned of a demonstration: its answer, or with the settings earlier ones of its conversation."""
    write = written_turns if config.turns == "all" else _last_turn
    return write(policy, record.prompt.messages, record.completion)


def _last_turn(policy: Policy, prompt: Sequence[Message], text: str) -> list[Written]:
    return [written(policy, prompt, text)]


def held_loss(policy: Policy, judged: Judged) -> dict[str, float]:
    """The mean loss of a token over held-out rows."""
    return {HELD_OUT: token_losses_of(policy, [row for row, _key in judged]).mean().item()}


def measured_loss(policy: Policy, judged: Judged) -> dict[str, Any]:
    """The same with its interval over prompts; nothing where nothing was held out."""
    if not judged:
        return {}
    rows, keys = zip(*judged, strict=True)
    with counting(len(rows), _("completions")), taking(1):
        nll = token_losses_of(policy, rows)
    return {"nll": grouped_interval(nll.tolist(), keys, unit="nats / token").model_dump()}


def token_losses_of(policy: Policy, rows: Sequence[Written]) -> Tensor:
    """(n,) mean losses of the rows' tokens."""
    return -scored(policy, rows) / torch.tensor([row.learned for row in rows])


def own_demonstrations(spec: RunSpec, folder: Path, config: SftConfig) -> Fitting | None:
    """What the run is measured by, where that was given for it, as far as it fits as `fitting_demonstrations` says."""
    if config.evaluate_on != "own":
        return None
    found = read_jsonl(folder / spec.inputs["evaluation"], DemonstrationRecord)
    return _fitting(spec, folder, config, "evaluation", worded(found))


def fitting_demonstrations(spec: RunSpec, folder: Path, config: SftConfig) -> Fitting:
    """What is imitated, as far as the policy's context takes it by the template that it will have."""
    role = next(role for role in ("demonstrations", "pairs") if role in spec.inputs)
    return _fitting(spec, folder, config, role, demonstrations(spec, folder))


def _fitting(
    spec: RunSpec, folder: Path, config: SftConfig, role: str, rows: Sequence[DemonstrationRecord]
) -> Fitting:
    reader = Reader.of(folder / spec.inputs["policy"])
    set_template(reader.tokenizer, config)
    return fitting_labels(rows, role, [reader], config.overlong)


def _given(spec: RunSpec, folder: Path) -> Iterator[DemonstrationRecord]:
    """The demonstrations of a run, or the chosen sides of its pairs."""
    if "demonstrations" in spec.inputs:
        yield from read_jsonl(folder / spec.inputs["demonstrations"], DemonstrationRecord)
    else:
        for pair in read_jsonl(folder / spec.inputs["pairs"], PairRecord):
            yield DemonstrationRecord(prompt=pair.prompt, completion=pair.chosen)


def demonstrations(spec: RunSpec, folder: Path) -> list[DemonstrationRecord]:
    """What is imitated, each once and with words; raises DataError where there is too little of it."""
    kept = worded(_given(spec, folder))
    if len(kept) < MIN_DEMONSTRATIONS:
        raise DataError(
            _("There are {n} completions to imitate; collect more.").format(n=len(kept))
        )
    return kept


def worded(found: Iterable[DemonstrationRecord]) -> list[DemonstrationRecord]:
    """Those that have words, each once."""
    kept = {(row.prompt.key, row.completion): row for row in found if row.completion.strip()}
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


def imitation_step(policy: Policy, rows: Sequence[Written], *, packing: bool = False) -> StepLoss:
    """The mean negative log-likelihood per token of a batch of completions, packed where that was asked for."""
    divide = partial(full_rows if packing else in_parts, policy)
    read = joint_logps if packing else None

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        mine, share = shard(batch)
        tokens = sum(rows[place].learned for place in batch)
        ours = [rows[place] for place in mine]
        for part in divide([row.length for row in ours]):
            logps = learned_logps(policy, [ours[place] for place in part], read)
            loss = -logps.sum() * (share > 0) / tokens
            yield loss, {"nll/token": loss.item()}

    return step
