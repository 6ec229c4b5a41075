"""Completions of a policy for many prompts, to be compared by people."""

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import torch

from alignment.config import GenerateConfig, RunSpec
from alignment.errors import DataError
from alignment.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.folders import committed
from alignment.policies import Policy
from alignment.records import CompletionRecord, PromptRecord, read_jsonl, write_jsonl
from alignment.sampling import sample

BATCH = 32  # prompts
ATTEMPTS = 4  # draws of a prompt before completions of equal text are accepted


def generate(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Answer the first `prompts` prompts; writes `folder/output/completions.jsonl`, in their order."""
    config = GenerateConfig.model_validate(spec.config)
    prompts = list(read_jsonl(folder / spec.inputs["prompts"], PromptRecord))[: config.prompts]
    if not prompts:
        raise DataError("There are no prompts to answer; add prompts to the project.")
    policy = Policy.load(folder / spec.inputs["policy"])
    total = math.ceil(len(prompts) / BATCH)
    device = str(policy.device)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=device)
    yield PhaseStarted(name="sampling")
    generator = torch.Generator().manual_seed(spec.seed)
    rows: list[list[CompletionRecord]] = []
    for step in range(1, total + 1):
        started = time.perf_counter()
        batch = prompts[(step - 1) * BATCH : step * BATCH]
        rows += answers(policy, batch, config, generator)
        metrics = {**_totals(rows[-len(batch) :]), "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    with committed(folder / "output") as output:
        count = write_jsonl(
            output / "completions.jsonl", (record for row in rows for record in row)
        )
    yield Finished(summary={"prompts": len(prompts), "completions": count, **_totals(rows)})


def answers(
    policy: Policy,
    prompts: Sequence[PromptRecord],
    config: GenerateConfig,
    generator: torch.Generator,
) -> list[list[CompletionRecord]]:
    """Completions of each prompt, of different text where the policy gives as many."""
    wanted = config.completions_per_prompt
    drawn: list[list[CompletionRecord]] = [[] for _ in prompts]
    for _ in range(ATTEMPTS):
        lacking = [i for i, row in enumerate(drawn) if len(_distinct(row)) < wanted]
        if not lacking:
            break
        asked = [prompts[i] for i in lacking]
        for i, row in zip(lacking, _draw(policy, asked, config, generator), strict=True):
            drawn[i] += row
    return [(_distinct(row) + _repeated(row))[:wanted] for row in drawn]


def _draw(
    policy: Policy,
    prompts: Sequence[PromptRecord],
    config: GenerateConfig,
    generator: torch.Generator,
) -> list[list[CompletionRecord]]:
    rollouts = sample(
        policy,
        [policy.prompt_ids(prompt.messages) for prompt in prompts],
        completions=config.completions_per_prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        generator=generator,
    )
    keys = [prompt.key for prompt in prompts for _ in range(config.completions_per_prompt)]
    columns = (rollouts.logps, rollouts.lengths, rollouts.truncated)
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    texts = [policy.text(ids).strip() for ids in rollouts.completion_ids()]
    records = [
        CompletionRecord(prompt_key=key, text=text, logps=logps, tokens=tokens, truncated=cut)
        for key, text, (logps, tokens, cut) in zip(keys, texts, numbers, strict=True)
    ]
    size = config.completions_per_prompt
    return [records[i : i + size] for i in range(0, len(records), size)]


def _distinct(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    """The first completion of each text, in the order drawn."""
    return list({record.text: record for record in reversed(row)}.values())[::-1]


def _repeated(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    first = {id(record) for record in _distinct(row)}
    return [record for record in row if id(record) not in first]


def _totals(rows: Sequence[Sequence[CompletionRecord]]) -> dict[str, float]:
    """Shares and mean length over all completions."""
    records = [record for row in rows for record in row]
    return {
        "length/mean": sum(record.tokens for record in records) / len(records),
        "length/truncated": sum(record.truncated for record in records) / len(records),
        "diversity/distinct": sum(len(_distinct(row)) for row in rows) / len(records),
    }
