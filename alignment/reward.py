"""Reward models: a scalar head on a causal backbone, fitted to pairs by Bradley and Terry's model.

A completion is read as annotators saw it: its text without special tokens, up to its last token,
where a language model knows most of what it has read (it never learned to read its own end token).
So the score of a text and that of the rollout it came from are the same.
"""

import json
import math
import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer, PreTrainedTokenizerBase

from alignment.batches import similar_lengths
from alignment.config import RewardConfig, RunSpec
from alignment.errors import DataError, DivergedError
from alignment.estimators import clipped, grouped_interval
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed
from alignment.policies import Policy, default_device
from alignment.records import DemonstrationRecord, Message, PairRecord, read_jsonl
from alignment.sampling import Rollouts

Labelled = TypeVar("Labelled", PairRecord, DemonstrationRecord)

MIN_PAIRS = 8
SCORED_AT_ONCE = 64  # sequences
PROMPT_SHARE = 4  # a prompt that is too long keeps at least this fraction of the context
WARMUP = 0.1  # share of the steps
HEAD_RATE = 10  # of the trunk's: the head starts at zero and has to move first


@dataclass(frozen=True)
class RewardModel:
    """r(prompt, completion): the last hidden state through a linear head, centred and scaled."""

    trunk: Policy  # its model has no language-model head
    head: nn.Linear
    center: float = 0.0
    scale: float = 1.0

    @classmethod
    def fresh(cls, folder: Path) -> "RewardModel":
        """An untrained head on a stored model, in fp32; only safetensors are read."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except OSError as error:
            raise DataError(f"{folder} does not hold a model that can be read: {error}") from error
        width = model.config.get_text_config().hidden_size
        head = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(head.weight)
        trunk = Policy(model.to(default_device()).eval(), tokenizer)
        return cls(trunk, head.to(trunk.device))

    @classmethod
    def load(cls, folder: Path) -> "RewardModel":
        """Read what `save` wrote, ready to score."""
        model = cls.fresh(folder)
        model.head.load_state_dict(load_file(folder / "head.safetensors"))
        stored = json.loads((folder / "reward.json").read_text(encoding="utf-8"))
        return replace(model, center=stored["center"], scale=stored["scale"])

    def save(self, folder: Path) -> None:
        """Write trunk, tokenizer, head and scale into an existing folder."""
        self.trunk.save(folder)
        save_file(self.head.state_dict(), folder / "head.safetensors")
        stored = json.dumps({"center": self.center, "scale": self.scale})
        (folder / "reward.json").write_text(stored, encoding="utf-8")

    def parameters(self) -> list[nn.Parameter]:
        """Everything that is trained."""
        return [*self.trunk.model.parameters(), *self.head.parameters()]

    def raw(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n,) head outputs at the sequences' last tokens, not centred, with gradient."""
        lengths = torch.tensor([len(ids) for ids in sequences], device=self.trunk.device)
        width = int(lengths.max())
        padded = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in sequences])
        # Padding is on the right of a causal model, so no real position sees it.
        hidden = self.trunk.model(
            input_ids=padded.to(self.trunk.device),
            attention_mask=torch.ones_like(padded, device=self.trunk.device),
            use_cache=False,
        ).last_hidden_state
        last = hidden[torch.arange(len(sequences), device=hidden.device), lengths - 1]
        scores: Tensor = self.head(last)
        return scores[:, 0]

    @torch.no_grad()
    def score_ids(self, sequences: Sequence[Sequence[int]]) -> Tensor:
        """(n,) rewards of whole sequences, in standard deviations over the training completions."""
        scores = torch.empty(len(sequences), device=self.trunk.device)
        order = sorted(range(len(sequences)), key=lambda row: len(sequences[row]))
        for start in range(0, len(order), SCORED_AT_ONCE):
            rows = order[start : start + SCORED_AT_ONCE]
            scores[rows] = self.raw([sequences[row] for row in rows])
        return (scores - self.center) / self.scale

    def score_texts(self, prompts: Sequence[Sequence[Message]], texts: Sequence[str]) -> Tensor:
        """(n,) rewards of completions given as text, one prompt each."""
        pairs = zip(prompts, texts, strict=True)
        return self.score_ids([self.read(prompt, text)[0] for prompt, text in pairs])

    def score(self, policy: Policy, rollouts: Rollouts) -> Tensor:
        """(n,) rewards of a policy's completions; as text where its tokenizer is another one."""
        completions = rollouts.completion_ids()
        if not same_tokens(policy.tokenizer, self.trunk.tokenizer):
            prompts = [[Message(role="user", content=policy.text(ids))] for ids in rollouts.prompts]
            return self.score_texts(prompts, [policy.text(ids) for ids in completions])
        special = set(policy.tokenizer.all_special_ids)
        seen = [[token for token in ids if token not in special] for ids in completions]
        rows = zip(rollouts.prompts, seen, strict=True)
        return self.score_ids([self.join(prompt, ids)[0] for prompt, ids in rows])

    def read(self, prompt: Sequence[Message], text: str) -> tuple[list[int], bool]:
        """Token ids of prompt and completion, and whether they were cut to the context."""
        completion = self.trunk.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self.join(self.trunk.prompt_ids(prompt), completion)

    def join(self, prompt: Sequence[int], completion: Sequence[int]) -> tuple[list[int], bool]:
        """Prompt and completion in one, the first cut on its left, the second on its right to fit."""
        context = self.trunk.context_length
        room = context - min(len(prompt), context // PROMPT_SHARE)
        kept = completion[:room]
        start = max(0, len(prompt) + len(kept) - context)
        cut = start > 0 or len(kept) < len(completion)
        return [*prompt[start:], *kept], cut


@dataclass(frozen=True)
class Example:
    """A pair as token ids, prompts included."""

    prompt_key: str
    chosen: list[int]
    rejected: list[int]
    cut: bool  # one of the two did not fit the context

    @property
    def length(self) -> int:
        """Tokens of the longer sequence."""
        return max(len(self.chosen), len(self.rejected))


def train(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Fit a reward model to `pairs` from `backbone`; writes `folder/output`."""
    config = RewardConfig.model_validate(spec.config)
    torch.manual_seed(spec.seed)
    pairs = usable(read_jsonl(folder / spec.inputs["pairs"], PairRecord))
    fitted, held = divided(pairs, config.held_out)
    model = RewardModel.fresh(folder / spec.inputs["backbone"])
    total = config.epochs * math.ceil(len(fitted) / config.batch)
    device = str(model.trunk.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    examples, judged = _examples(model, fitted), _examples(model, held)
    yield PhaseStarted(name="training")
    yield from _fit(model, config, examples, total)
    yield PhaseStarted(name="measuring")
    model = standardised(model, examples)
    summary = {
        **_measures(model, judged),
        "pairs_train": len(fitted),
        "pairs_heldout": len(held),
        "prompts_heldout": len({pair.prompt.key for pair in held}),
        "pairs_contradicted": contradicted(pairs),
        "pairs_cut": sum(example.cut for example in examples + judged),
        "center": model.center,
        "scale": model.scale,
    }
    with committed(folder / "output") as output:
        model.save(output)
    yield Finished(summary=summary)


def usable(records: Iterable[PairRecord]) -> list[PairRecord]:
    """The pairs that say something; raises DataError where too few do."""
    pairs = [pair for pair in records if pair.chosen.strip() != pair.rejected.strip()]
    if len(pairs) < MIN_PAIRS:
        raise DataError(
            f"There are {len(pairs)} pairs with different completions; a reward model needs at "
            f"least {MIN_PAIRS}. Label more comparisons."
        )
    if len({(pair.prompt.key, pair.chosen, pair.rejected) for pair in pairs}) == 1:
        raise DataError(
            "Every label is about the same pair of completions. Label comparisons of others."
        )
    return pairs


def contradicted(pairs: Sequence[PairRecord]) -> int:
    """How many pairs another label says the opposite of."""
    said = {(pair.prompt.key, pair.chosen, pair.rejected) for pair in pairs}
    return sum((pair.prompt.key, pair.rejected, pair.chosen) in said for pair in pairs)


def divided(pairs: Sequence[Labelled], share: float) -> tuple[list[Labelled], list[Labelled]]:
    """Pairs to fit and pairs held out, by prompt; raises DataError where there is but one prompt.

    A prompt's own hash decides, so that new labels move no prompt across; where by chance that
    leaves a side empty, the prompt nearest to the border crosses it.
    """
    places = sorted({_place(pair.prompt.key) for pair in pairs})
    if len(places) < 2:
        raise DataError(
            "All pairs are about one prompt, so none can be held out to measure accuracy. Label "
            "comparisons of more prompts."
        )
    border = min(max(share, places[1]), places[-1])
    held = [pair for pair in pairs if _place(pair.prompt.key) < border]
    fitted = [pair for pair in pairs if _place(pair.prompt.key) >= border]
    return fitted, held


@lru_cache(maxsize=8)
def same_tokens(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> bool:
    """Whether token ids and prompts mean the same to both; asked at every step, so remembered."""
    same_template = one.chat_template == other.chat_template
    return same_template and (one is other or one.get_vocab() == other.get_vocab())


def standardised(model: RewardModel, examples: Sequence[Example]) -> RewardModel:
    """The model with mean 0 and deviation 1 on these completions: beta means the same everywhere."""
    scores = model.score_ids([ids for e in examples for ids in (e.chosen, e.rejected)])
    return replace(model, center=scores.mean().item(), scale=max(scores.std().item(), 1e-6))


def _place(key: str) -> float:
    """Where a prompt falls in [0, 1); other digits of its key than those that decide its split."""
    return int(key[8:16], 16) / 16**8


def _examples(model: RewardModel, pairs: Sequence[PairRecord]) -> list[Example]:
    examples = []
    for pair in pairs:
        chosen, chosen_cut = model.read(pair.prompt.messages, pair.chosen)
        rejected, rejected_cut = model.read(pair.prompt.messages, pair.rejected)
        examples.append(Example(pair.prompt.key, chosen, rejected, chosen_cut or rejected_cut))
    return examples


def _fit(
    model: RewardModel, config: RewardConfig, examples: Sequence[Example], total: int
) -> Generator[Event, str | None, None]:
    groups = [
        {"params": list(model.trunk.model.parameters()), "lr": config.learning_rate},
        {"params": list(model.head.parameters()), "lr": HEAD_RATE * config.learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _linear(step, total))
    lengths = [example.length for example in examples]
    epochs = (similar_lengths(lengths, config.batch) for _ in range(config.epochs))
    batches = (batch for epoch in epochs for batch in epoch)
    for step, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        rate = float(schedule.get_last_lr()[0])
        metrics = _step(model, optimizer, [examples[i] for i in batch])
        schedule.step()
        if not math.isfinite(metrics["loss"]):
            raise DivergedError(
                f"The loss was {metrics['loss']} at step {step}; try a lower learning rate."
            )
        metrics |= {"lr": rate, "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)


def _linear(step: int, total: int) -> float:
    """Warm-up, then down to zero, as a share of the peak."""
    warmup = max(1, round(WARMUP * total))
    return min((step + 1) / warmup, (total - step) / max(1, total - warmup))


def _step(
    model: RewardModel, optimizer: torch.optim.Optimizer, batch: Sequence[Example]
) -> dict[str, float]:
    margins = _margins(model, batch)
    loss = -F.logsigmoid(margins).mean()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    accuracy = (margins.detach() > 0).float().mean().item()
    value = loss.item()
    return {"loss": value, "preference/accuracy": accuracy, "preference/nll": value}


def _margins(model: RewardModel, batch: Sequence[Example]) -> Tensor:
    """(pairs,) r(chosen) - r(rejected) in nats: the log-odds of the label."""
    scores = model.raw([e.chosen for e in batch] + [e.rejected for e in batch])
    chosen, rejected = scores.chunk(2)
    return chosen - rejected


@torch.no_grad()
def _measures(model: RewardModel, examples: Sequence[Example]) -> dict[str, object]:
    """Accuracy and negative log-likelihood of held-out labels, with intervals over prompts."""
    starts = range(0, len(examples), SCORED_AT_ONCE)
    margins = torch.cat([_margins(model, examples[i : i + SCORED_AT_ONCE]) for i in starts])
    groups = [example.prompt_key for example in examples]
    right = (margins > 0).double() + 0.5 * (margins == 0).double()
    return {
        "accuracy": clipped(grouped_interval(right.tolist(), groups)).model_dump(),
        "nll": grouped_interval(
            (-F.logsigmoid(margins)).tolist(), groups, unit="nats"
        ).model_dump(),
    }
