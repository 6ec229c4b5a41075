"""Reward models on real rankings: ours against TRL's RewardTrainer, in pairs a second and in accuracy.

Both start from the same GPT-2 with the same tokens, batch, epochs, precision and threads, in turn. Each
prompt is held out once, in one of the folds. A third arm is ours on whole rankings instead of pairs.

With --model both start from a stored model instead, on some of the pairs and one split of them: TRL's by LoRA, ours by
the same LoRA or, with --trunk frozen, by heads on features that are read within the time that is told.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import (
    AutoModelForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    TrainerCallback,
)
from transformers.utils import logging
from trl import RewardConfig as TrlConfig
from trl import RewardTrainer

from alignment.kinds.reward.settings import RewardConfig
from alignment.maths.estimators import paired_estimate
from alignment.models.training import steps_of
from alignment.pretraining.starter import build_tokenizer
from alignment.reward.examples import examples_of
from alignment.reward.forks import common
from alignment.reward.labels import apart, divided
from alignment.reward.learning import Learner, Trial, empty_table
from alignment.reward.measures import Told, measures, together
from alignment.reward.model import RewardModel
from alignment.reward.observation import Observation
from alignment.reward.validation import folds
from alignment.rows.json_lines import rows_of
from alignment.seam.events import StepDone
from alignment.seam.records import LabelRecord, PromptRecord, RankingRecord, prompt_key
from webapp.datasets.imports.reading import read_rows

TREES = Path("../shared/data/oasst_en_100_tree.jsonl")
CONTEXT, VOCABULARY = 512, 2048
HELD_OUT = 0.2  # of a stored model's pairs
DRAWS = 10_000  # of a bootstrap


@dataclass(frozen=True)
class Arm:
    """What one trainer did in one fold."""

    pairs_per_second: float
    told: Told


def rankings(path: Path, *, several: bool = False) -> list[RankingRecord]:
    """The answers to each first turn in the order people gave them; or to each later one, behind several turns."""
    with path.open("rb") as file:
        prompts = read_rows(rows_of(file), "oasst").prompts.values()
    found = []
    for prompt in (one for one in prompts if (len(one.messages) > 1) == several):
        ranked = sorted(
            (answer for answer in prompt.answers.values() if answer.rank is not None),
            key=lambda answer: (answer.rank, answer.key),
        )
        if len({answer.rank for answer in ranked}) > 1:
            record = PromptRecord(key=prompt_key(prompt.messages), messages=prompt.messages)
            texts, ranks = zip(*((answer.text, answer.rank) for answer in ranked), strict=True)
            found.append(RankingRecord(prompt=record, completions=texts, ranks=ranks))
    return found


def backbone(folder: Path, size: tuple[int, int], labels: Sequence[RankingRecord]) -> None:
    """A random GPT-2 with a tokenizer of these texts."""
    texts = [text for label in labels for text in (label.prompt.text, *label.completions)]
    tokenizer = build_tokenizer(texts, VOCABULARY)
    layers, width = size
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=width,
        n_layer=layers,
        n_head=max(1, width // 32),
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pairs_of(labels: Sequence[LabelRecord]) -> list[LabelRecord]:
    """Every ordered pair that the rankings say."""
    return [pair for label in labels for pair in apart(label)]


def ours(
    folder: Path,
    config: RewardConfig,
    fitted: Sequence[LabelRecord],
    held: Sequence[LabelRecord],
    cache: Path | None = None,
) -> Arm:
    """Our reward model, timed from its first step to its last, with the reading of features where it is frozen."""
    table, reading = None, 0.0
    if config.trunk == "frozen":
        table = empty_table(folder, config, str(cache) if cache else None)
        texts = [ids for example in examples_of(table.model, fitted) for ids in example.texts]
        started = time.perf_counter()
        table.of(texts)
        reading = time.perf_counter() - started
    learner = Learner(folder, config, fitted, 0, table)
    fit, clock = learner.learn(Trial("", list(fitted), list(held))), []
    while True:
        try:
            event = next(fit)
        except StopIteration as ended:
            learned = ended.value
            break
        if isinstance(event, StepDone):
            clock.append((time.perf_counter(), event.metrics["seconds/step"]))
    seconds = reading + clock[-1][0] - clock[0][0] + clock[0][1]
    told = measures(learned.model, learned.observation, learned.held)[0]
    return Arm(config.epochs * len(pairs_of(fitted)) / seconds, told)


class Clock(TrainerCallback):
    """When the first step began and the last one ended."""

    def on_step_begin(self, args, state, control, **kwargs):
        self.started = getattr(self, "started", time.perf_counter())

    def on_step_end(self, args, state, control, **kwargs):
        self.ended = time.perf_counter()


def trls(
    folder: Path, config: RewardConfig, fitted: Sequence[LabelRecord], held: Sequence[LabelRecord]
) -> Arm:
    """TRL's, on the same tokens; it is timed alike and measured by the same code."""
    reading = RewardModel.fresh(folder)
    rows = [example.texts for example in examples_of(reading, fitted)]
    dataset = Dataset.from_dict(
        {"chosen_ids": [row[0] for row in rows], "rejected_ids": [row[1] for row in rows]}
    )
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch.float32, pad_token_id=reading.trunk.tokenizer.pad_token_id
    )
    clock = Clock()
    with TemporaryDirectory() as output:
        arguments = TrlConfig(
            output,
            per_device_train_batch_size=config.batch,
            num_train_epochs=config.epochs,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            warmup_steps=math.ceil(config.warmup_share * steps_of(config, len(fitted))),
            lr_scheduler_type="linear",
            max_grad_norm=1.0,
            max_length=CONTEXT,
            gradient_checkpointing=False,
            bf16=False,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=0,
        )
        trainer = RewardTrainer(
            model,
            arguments,
            train_dataset=dataset,
            processing_class=reading.trunk.tokenizer,
            callbacks=[clock],
            peft_config=adapter_of(config),
        )
        trainer.train()
    if config.lora_rank:
        model = trainer.model.merge_and_unload()
    with torch.no_grad():
        reading.trunk.model.load_state_dict(model.base_model.state_dict())
        reading.head.weight.copy_(model.score.weight)
    judged = examples_of(reading, held)
    found = measures(reading, Observation(config, held), judged)[0]
    return Arm(config.epochs * len(fitted) / (clock.ended - clock.started), found)


def adapter_of(config: RewardConfig) -> LoraConfig | None:
    """The adapter that ours has, as PEFT is told it; none where all weights are trained."""
    if not config.lora_rank:
        return None
    rank = config.lora_rank
    return LoraConfig(
        task_type="SEQ_CLS",
        r=rank,
        lora_alpha=2 * rank,
        target_modules="all-linear",
        lora_dropout=0.0,
    )


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """The geometric mean of ratios with its 95 % bootstrap interval over blocks."""
    logs = torch.tensor(ratios, dtype=torch.float64).log()
    draws = torch.randint(len(logs), (DRAWS, len(logs)), generator=torch.Generator().manual_seed(0))
    low, high = logs[draws].mean(1).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    return logs.mean().exp().item(), low.exp().item(), high.exp().item()


def gap(mine: Told, other: Told) -> dict[str, object]:
    """Accuracy of one less that of the other, paired by prompt."""
    sides = []
    for told in (mine, other):
        rows = sorted(zip(told.prompts, told.right.tolist(), strict=True))
        by_prompt = groupby(rows, key=lambda row: row[0])
        sides.append({key: [right for _, right in group] for key, group in by_prompt})
    means = [{key: sum(rows) / len(rows) for key, rows in side.items()} for side in sides]
    keys = sorted(means[0])
    return paired_estimate(
        [means[1][key] for key in keys], [means[0][key] for key in keys]
    ).model_dump()


def blocks(
    options: argparse.Namespace, labels: Sequence[RankingRecord], folder: Path
) -> Iterator[dict[str, Arm]]:
    """Every fold, the three arms one after another; who begins changes from fold to fold."""
    pairs = RewardConfig(
        ties="drop",
        rankings="pairs",
        epochs=options.epochs,
        batch=options.batch,
        learning_rate=options.learning_rate,
    )
    # As many pairs a step as the others have, on average.
    size = max(1, round(options.batch * len(labels) / len(pairs_of(labels))))
    ranked = pairs.model_copy(update={"rankings": "plackett_luce", "batch": size})
    for number, trial in enumerate(folds(labels, options.folds)):
        fitted, held = pairs_of(trial.fitted), pairs_of(trial.held)
        arms = {
            "ours": lambda: ours(folder, pairs, fitted, held),  # noqa: B023 - called at once
            "trl": lambda: trls(folder, pairs, fitted, held),  # noqa: B023
            "rankings": lambda: ours(folder, ranked, trial.fitted, held),  # noqa: B023
        }
        names = list(arms)[:: 1 if number % 2 else -1]
        block = {name: arms[name]() for name in names}
        speeds = {name: f"{arm.pairs_per_second:.1f}" for name, arm in sorted(block.items())}
        print(f"fold {number + 1} of {options.folds}, pairs a second: {speeds}", flush=True)
        yield block


def some_pairs(
    folder: Path, labels: Sequence[RankingRecord], options: argparse.Namespace
) -> list[LabelRecord]:
    """So many pairs of at most so many tokens: of first turns, or those that share most of what is read."""
    reading = RewardModel.fresh(folder)
    found = []
    for example in examples_of(reading, pairs_of(labels)):
        longest, (one, other) = example.length, example.texts
        if longest <= options.tokens:
            found.append((common(one, other) / longest, example.label))
    if options.shape == "hh":
        found.sort(key=lambda row: row[0], reverse=True)
    return [label for _share, label in found[: options.pairs]]


def with_model(options: argparse.Namespace, labels: Sequence[RankingRecord]) -> dict[str, object]:
    """One split of some pairs on a stored model: TRL's by LoRA, and ours as the options say."""
    folder = options.model
    pairs = some_pairs(folder, labels, options)
    fitted, held = divided(pairs, HELD_OUT)
    shared = {"ties": "drop", "rankings": "pairs", "batch": options.batch}
    shared["epochs"] = options.epochs
    shared["learning_rate"] = options.learning_rate
    lora = RewardConfig(**shared, lora_rank=options.lora)
    mine = RewardConfig(**shared, trunk="frozen") if options.trunk == "frozen" else lora
    with TemporaryDirectory() as cache:
        arm = ours(folder, mine, fitted, held, Path(cache))
        print(f"ours: {arm.pairs_per_second:.2f} pairs a second", flush=True)
        result: dict[str, object] = {"pairs_fitted": len(fitted), "pairs_heldout": len(held)}
        if options.trunk == "frozen":
            again = ours(folder, mine, fitted, held, Path(cache))
            result["cached_seconds_per_1000"] = 1000 * mine.epochs / again.pairs_per_second
    if options.alone:
        return result | {"pairs_per_second": arm.pairs_per_second}
    theirs = trls(folder, lora.model_copy(update={"epochs": options.trl_epochs}), fitted, held)
    return result | {
        "pairs_per_second": arm.pairs_per_second,
        "pairs_per_second_trl": theirs.pairs_per_second,
        "vs_trl": arm.pairs_per_second / theirs.pairs_per_second,
        "accuracy": arm.told.accuracy().model_dump(),
        "accuracy_trl": theirs.told.accuracy().model_dump(),
        "accuracy_gap": gap(arm.told, theirs.told),
    }


def asked() -> argparse.Namespace:
    """The options of the command line; ends where there is nothing to read."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="2x128", help="layers x width (default: the starter's)")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16, help="pairs a step")
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--trees", type=Path, default=TREES, help="message trees of Open-Assistant")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", type=Path, help="a stored model to start from")
    parser.add_argument("--trunk", choices=("lora", "frozen"), default="lora", help="with --model")
    parser.add_argument("--lora", type=int, default=16, help="rank")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256, help="of the longest text")
    parser.add_argument(
        "--shape", choices=("oasst", "hh"), default="oasst", help="hh: long prompts"
    )
    parser.add_argument("--trl-epochs", type=int, default=1, help="of TRL's arm with --model")
    parser.add_argument("--alone", action="store_true", help="without TRL's arm")
    options = parser.parse_args()
    if not options.trees.exists():
        sys.exit(
            f"{options.trees} is not there: name a file of Open-Assistant's trees with --trees."
        )
    return options


def main() -> None:
    """Run the folds and print one JSON object."""
    options = asked()
    torch.set_num_threads(options.threads)
    logging.disable_progress_bar()
    labels = rankings(options.trees, several=options.shape == "hh")
    if options.model:
        print(json.dumps(dict(vars(options)) | with_model(options, labels), default=str))
        return
    layers, width = map(int, options.size.split("x"))
    with TemporaryDirectory() as place:
        folder = Path(place)
        backbone(folder, (layers, width), labels)
        found = list(blocks(options, labels, folder))
    result: dict[str, object] = dict(vars(options)) | {"pairs": len(pairs_of(labels))}
    told = {}
    for name, suffix in (("ours", ""), ("trl", "_trl"), ("rankings", "_rankings")):
        told[name] = together([block[name].told for block in found])
        result[f"accuracy{suffix}"] = told[name].accuracy().model_dump()
        speeds = [block[name].pairs_per_second for block in found]
        result[f"pairs_per_second{suffix}"] = sum(speeds) / len(speeds)
    result["accuracy_gap"] = gap(told["ours"], told["trl"])
    for name, against in (("vs_trl", "ours"), ("rankings_vs_trl", "rankings")):
        ratios = [b[against].pairs_per_second / b["trl"].pairs_per_second for b in found]
        value, low, high = interval(ratios)
        result[name] = {"value": value, "low": low, "high": high, "n": len(ratios)}
    print(json.dumps(result, default=str))


if __name__ == "__main__":
    main()
