"""Completions of a policy for many prompts, to be compared by people."""

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import torch

from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.models.control_tokens import counted
from alignment.models.overlong import Reader, fitting_prompts
from alignment.sampling.engines import ENGINES, Engine, policy_folder
from alignment.seam.errors import DataError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches, split
from alignment.seam.records import CompletionRecord, PromptRecord, read_jsonl, write_jsonl
from alignment.seam.words import _

BATCH = 32  # prompts
ATTEMPTS = 4  # draws of a prompt before completions of equal text are accepted
FIRST = 0.9  # share of the first draw, which is mostly the only one, in what there is to do


def generate(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Answer the first `prompts` prompts; writes `folder/output/completions.jsonl`, in their order."""
    config = GenerateConfig.stored(spec.config)
    prompts = list(read_jsonl(folder / spec.inputs["prompts"], PromptRecord))[: config.prompts]
    if not prompts:
        raise DataError(_("There are no prompts to answer; add prompts to the project."))
    counts: list[dict[str, object]] = []
    if config.engine != "server":  # which has a tokenizer of its own
        reader = Reader.of(policy_folder(spec, folder))
        prompts, told = fitting_prompts(
            prompts, "prompts", [reader], config.max_new_tokens, config.overlong
        )
        counts = [told.counts]
        if not told.all_fit:
            yield told
    engine = ENGINES[config.engine](spec, folder)
    total = math.ceil(len(prompts) / BATCH)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=engine.device)
    yield PhaseStarted(name=_("sampling"))
    rows: list[list[CompletionRecord]] = []
    wanted = config.completions_per_prompt
    batches = in_batches(prompts, BATCH, _("completions"), each=wanted)
    for step, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        rows += answers(engine, batch, wanted)
        metrics = {**_totals(rows[-len(batch) :]), "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    with committed(folder / "output") as output:
        count = write_jsonl(
            output / "completions.jsonl", (record for row in rows for record in row)
        )
    held = counted(engine.held, prompts)
    totals = {"prompts": len(prompts), "completions": count, "rows": counts}
    yield Finished(summary={**totals, **_totals(rows), **held})


def answers(
    engine: Engine, prompts: Sequence[PromptRecord], wanted: int
) -> list[list[CompletionRecord]]:
    """Completions of each prompt, of different text where the policy gives as many."""
    drawn: list[list[CompletionRecord]] = [[] for _ in prompts]
    for share in split(FIRST, *[(1 - FIRST) / (ATTEMPTS - 1)] * (ATTEMPTS - 1)):
        lacking = [i for i, row in enumerate(drawn) if len(_distinct(row)) < wanted]
        if not lacking:
            break
        with share:
            found = engine.draw([prompts[i] for i in lacking])
        for i, row in zip(lacking, found, strict=True):
            drawn[i] += row
    return [(_distinct(row) + _repeated(row))[:wanted] for row in drawn]


def _distinct(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    """The first completion of each text, in the order drawn; gaps around it make no other one."""
    return list({record.text.strip(): record for record in reversed(row)}.values())[::-1]


def _repeated(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    first = {id(record) for record in _distinct(row)}
    return [record for record in row if id(record) not in first]


def _totals(rows: Sequence[Sequence[CompletionRecord]]) -> dict[str, float]:
    """Shares over all completions, and their mean length where it is known."""
    records = [record for row in rows for record in row]
    lengths = [record.tokens for record in records if record.tokens is not None]
    return {
        **({"length/mean": sum(lengths) / len(lengths)} if lengths else {}),
        "length/truncated": sum(record.truncated for record in records) / len(records),
        "logps/known": sum(record.logps is not None for record in records) / len(records),
        "diversity/distinct": sum(len(_distinct(row)) for row in rows) / len(records),
    }
