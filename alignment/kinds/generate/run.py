"""Completions of a policy for many prompts, to be compared by people."""

import math
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import torch

from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.spec import RunSpec
from alignment.models.control_tokens import counted
from alignment.models.devices import Placement
from alignment.models.overlong import Reader, fitting_prompts
from alignment.reward import RewardModel
from alignment.reward.best_of import BestOf
from alignment.sampling.engines import ENGINES, Draw, answers, distinct_ones, policy_folder
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import Event, Finished, Fitted, PhaseStarted, Ready, StepDone
from alignment.seam.folders import committed
from alignment.seam.progress import in_batches
from alignment.seam.records import CompletionRecord, PromptRecord, read_jsonl, write_jsonl
from alignment.seam.words import _

BATCH = 32  # prompts


def generate(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Answer the first `prompts` prompts; writes `folder/output/completions.jsonl`, in their order.

    Where the best of several are kept, all that were drawn are in `candidates.jsonl` beside it, with their scores.
    """
    config = GenerateConfig.stored(spec.config)
    prompts, told = _asked(spec, folder, config)
    if told and not told.all_fit:
        yield told
    engine = ENGINES[config.engine](spec, folder)
    choice = _choice(spec, folder, engine.draw)
    total = math.ceil(len(prompts) / BATCH)
    yield Ready(total_steps=total, threads=torch.get_num_threads(), device=engine.device)
    yield PhaseStarted(name=_("sampling"))
    rows: list[list[CompletionRecord]] = []
    wanted = config.completions_per_prompt
    batches = in_batches(prompts, BATCH, _("completions"), each=wanted)
    for step, batch in enumerate(batches, start=1):
        started = time.perf_counter()
        rows += answers(choice.draw if choice else engine.draw, batch, wanted)
        metrics = {**_totals(rows[-len(batch) :]), "seconds/step": time.perf_counter() - started}
        yield StepDone(step=step, total=total, metrics=metrics)
    with committed(folder / "output") as output:
        count = write_jsonl(
            output / "completions.jsonl", (record for row in rows for record in row)
        )
        if choice:
            write_jsonl(output / "candidates.jsonl", choice.noted)
    held = counted(engine.held, prompts)
    totals = {"prompts": len(prompts), "completions": count, "rows": [told.counts] if told else []}
    scores = choice.summary() if choice else {}
    yield Finished(summary={**totals, **_totals(rows), **scores, **held})


def _asked(
    spec: RunSpec, folder: Path, config: GenerateConfig
) -> tuple[Sequence[PromptRecord], Fitted | None]:
    """The prompts to answer, and what of them fits the models that read them here, where one does.

    Raises DataError where there are none.
    """
    prompts = list(read_jsonl(folder / spec.inputs["prompts"], PromptRecord))[: config.prompts]
    if not prompts:
        raise DataError(_("There are no prompts to answer; add prompts to the project."))
    if not (readers := _readers(spec, folder, config)):
        return prompts, None
    return fitting_prompts(prompts, "prompts", readers, config.max_new_tokens, config.overlong)


def _readers(spec: RunSpec, folder: Path, config: GenerateConfig) -> list[Reader]:
    """All models that will read a prompt with its completions; a server has a tokenizer of its own."""
    answering = [] if config.engine == "server" else [Reader.of(policy_folder(spec, folder))]
    if config.kept == "best":
        answering.append(Reader.of_reward(_reward_folder(spec, folder)))
    return answering


def _choice(spec: RunSpec, folder: Path, draw: Draw) -> BestOf | None:
    """What keeps the best of several, where the settings say so; raises ConfigError, DataError."""
    config = GenerateConfig.stored(spec.config)
    if config.kept != "best":
        return None
    placement = Placement.of(config)
    model = RewardModel.load(_reward_folder(spec, folder), placement=placement)
    return BestOf(draw, model, config.best_of)


def _reward_folder(spec: RunSpec, folder: Path) -> Path:
    """Where the reward model that chooses is; raises ConfigError where none is named."""
    if "reward" not in spec.inputs:
        raise ConfigError(_("The best of several are kept by a reward model; name one."))
    return folder / spec.inputs["reward"]


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
