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
from alignment.sampling.engines import ENGINES, answers, distinct_ones, policy_folder
from alignment.seam.errors import DataError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches
from alignment.seam.records import CompletionRecord, PromptRecord, read_jsonl, write_jsonl
from alignment.seam.words import _

BATCH = 32  # prompts


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
        rows += answers(engine.draw, batch, wanted)
        metrics = {**_totals(rows[-len(batch) :]), "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    with committed(folder / "output") as output:
        count = write_jsonl(
            output / "completions.jsonl", (record for row in rows for record in row)
        )
    held = counted(engine.held, prompts)
    totals = {"prompts": len(prompts), "completions": count, "rows": counts}
    yield Finished(summary={**totals, **_totals(rows), **held})


def _totals(rows: Sequence[Sequence[CompletionRecord]]) -> dict[str, float]:
    """Shares over all completions, and their mean length where it is known."""
    records = [record for row in rows for record in row]
    lengths = [record.tokens for record in records if record.tokens is not None]
    return {
        **({"length/mean": sum(lengths) / len(lengths)} if lengths else {}),
        "length/truncated": sum(record.truncated for record in records) / len(records),
        "logps/known": sum(record.logps is not None for record in records) / len(records),
        "diversity/distinct": sum(len(distinct_ones(row)) for row in rows) / len(records),
    }
