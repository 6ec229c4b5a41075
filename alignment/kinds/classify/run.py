"""A run that makes a classifier of texts with classes, and says how well it tells them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from alignment.classification.measures import (
    ToldTexts,
    measures,
    rulers,
    span_measures,
    tables,
    tag_measures,
)
from alignment.classification.model import Classifier
from alignment.classification.texts import ClassedTexts, classed_texts, in_order, worded_rows
from alignment.classification.words import ENDS, ReadRow, WordModel, word_step
from alignment.kinds.classify.settings import ClassifyConfig
from alignment.kinds.spec import RunSpec
from alignment.lab.costs import receipt
from alignment.maths.losses import class_loss
from alignment.models.bounds import HELD_OUT, HELD_RIGHT, HeldOut
from alignment.models.control_tokens import controls, counted
from alignment.models.distributed import all_sums, shard, world
from alignment.models.lora import size_of
from alignment.models.overlong import Fitting, Reader, fitting_labels, fitting_texts
from alignment.models.sharding import spread
from alignment.models.training import Progress, Run, StepLoss, TrainingSet, fit, in_parts, ready
from alignment.reward.labels import divided
from alignment.seam.errors import DataError
from alignment.seam.events import Finished, Fitted, PhaseStarted
from alignment.seam.folders import committed
from alignment.seam.progress import counting, split, taking, through
from alignment.seam.records import ClassedRecord, SpanRecord, TaggedRecord
from alignment.seam.words import _

SLOPE, SAME = 1e-6, 1e-6  # most that receipts may find


def classify(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind classify: train a head and its `backbone` on `texts`, or on what is `judged`."""
    config = ClassifyConfig.stored(spec.config)
    return (classify_texts if config.head == "text" else classify_words)(spec, folder)


def classify_texts(spec: RunSpec, folder: Path) -> Progress:
    """Train a classifier of whole texts."""
    config = ClassifyConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    yield PhaseStarted(name=_("reading the texts"))
    with counting(100, "%"):
        for_reading, for_fitting = split(1, 3)
        with for_reading:
            found = classed_texts(spec, folder, config)
        with for_fitting:
            fitting = fitting_rows(spec, folder, found)
    if not fitting.told.all_fit:
        yield fitting.told
    kept = ClassedTexts(fitting.rows, found.classes, found.bad_lines)
    fitted, held = kept.divided(config.held_out)
    one = Classifier.fresh(folder / spec.inputs["backbone"], kept.classes, config.reads)
    spread(one.model)
    run = Run.of(spec, folder)
    yield ready(one.trunk, len(fitted), config, run)
    data = training_set(one, kept, fitted)
    looked_at = looks(training_set(one, kept, held), config)
    if (yield from fit(one, config, data, run, looked_at)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    with counting(len(held), _("texts")), taking(1):
        figures, checks = held_figures(one, kept, fitted, held, spec.seed) if held else ({}, [])
    summary = {
        **figures,
        "texts_train": len(fitted),
        "texts_heldout": len(held),
        "texts_disputed": kept.disputed,
        **data.progress.told,
        "bad_lines": kept.bad_lines,
        "reads": config.reads,
        "classes": list(kept.classes),
        "parameters": size_of(one.model),
        "rows": [fitting.told.counts],
        **control_tokens(one, kept.rows),
    }
    with committed(folder / "output") as output:
        one.save(output)
        checks = [*checks, stored_receipt(output, one, held or fitted)]
    yield Finished(summary=summary | {"checks": checks})


def held_figures(
    one: Classifier,
    kept: ClassedTexts,
    fitted: Sequence[ClassedRecord],
    held: Sequence[ClassedRecord],
    seed: int,
) -> tuple[dict[str, object], list[dict[str, Any]]]:
    """All that held-out texts say of a classifier, and the receipt of its loss on them."""
    told = told_texts(one, kept, held)
    found = measures(told, seed) | rulers(told, fitted, shares_of(kept, fitted)) | tables(told)
    return found, [slope_receipt(told.probabilities, told.shares)]


def classify_words(spec: RunSpec, folder: Path) -> Progress:
    """Train a model that tags words, or that finds answers in texts."""
    config = ClassifyConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    yield PhaseStarted(name=_("reading the texts"))
    with counting(100, "%"):
        for_reading, for_fitting = split(1, 3)
        with for_reading:
            records, bad_lines = worded_rows(spec, folder, config)
        one = WordModel.fresh(folder / spec.inputs["backbone"], config.head, names_of(records))
        with for_fitting:
            rows, told = read_words(one, records, config)
    if not told.all_fit:
        yield told
    fitted, held = divided(rows, config.held_out)
    spread(one.model)
    run = Run.of(spec, folder)
    yield ready(one.trunk, len(fitted), config, run)
    data = worded_set(one, fitted)
    if (yield from fit(one, config, data, run, looks(worded_set(one, held), config))) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    with counting(len(held), _("texts")), taking(1):
        found = measures_of_words(one, fitted, held, spec.seed) if held else {}
    with committed(folder / "output") as output:
        one.save(output)
    counts = {"texts_train": len(fitted), "texts_heldout": len(held), "bad_lines": bad_lines}
    size = {"parameters": size_of(one.model), "rows": [told.counts], "classes": list(one.classes)}
    yield Finished(summary={**found, **counts, **size, **data.progress.told, "head": config.head})


def measures_of_words(
    one: WordModel, fitted: Sequence[ReadRow], held: Sequence[ReadRow], seed: int
) -> dict[str, object]:
    """What held-out rows say of a model of words."""
    if one.head == "word":
        return tag_measures(one, fitted, held, seed)
    return span_measures(one, held)


def names_of(records: Sequence[TaggedRecord | SpanRecord]) -> tuple[str, ...]:
    """The tags of words, or what is told of a word in a text that answers a question."""
    tags = {tag for row in records if isinstance(row, TaggedRecord) for tag in row.tags}
    return in_order(tags) if tags else ENDS


def read_words(
    one: WordModel, records: Sequence[TaggedRecord | SpanRecord], config: ClassifyConfig
) -> tuple[list[ReadRow], Fitted]:
    """Rows as tokens, those that the context takes; raises DataError where others are refused, or none is left."""
    rows = [one.read(record) for record in through(records, len(records))]
    kept = [row for row in rows if len(row.ids) <= one.joiner.context]
    limit = f"a context of {one.joiner.context:,} tokens"
    told = Fitted(role="texts", read=len(rows), cut=0, dropped=len(rows) - len(kept), limit=limit)
    if told.dropped and (config.overlong == "refuse" or not kept):
        raise DataError(
            _(
                "{n:,} of {read:,} rows of texts do not fit {limit}; shorten them, or leave them out."
            ).format(n=told.dropped, read=told.read, limit=limit)
        )
    return kept, told


def fitting_rows(spec: RunSpec, folder: Path, found: ClassedTexts) -> Fitting:
    """The texts that the backbone's context takes, with their prompts where these are read."""
    config = ClassifyConfig.stored(spec.config)
    reader = Reader.of_reward(folder / spec.inputs["backbone"])
    if config.reads == "answer":
        return fitting_texts(found.rows, "texts", reader, config.overlong)
    return fitting_labels(found.rows, "texts", [reader], config.overlong)


def class_step(one: Classifier, rows: Sequence[Sequence[int]], shares: Tensor) -> StepLoss:
    """The mean loss of a batch of texts, and how many of them are told as most said."""
    wanted = shares.to(one.trunk.device)

    def step(batch: Sequence[int]) -> Iterator[tuple[Tensor, dict[str, float]]]:
        mine, share = shard(batch)
        for part in in_parts(one.trunk, [len(rows[place]) for place in mine]):
            some = [mine[place] for place in part]
            logits = one.logits([rows[place] for place in some])
            losses = class_loss(logits, wanted[some])
            right = (logits.argmax(1) == wanted[some].argmax(1)).float().sum() * (share > 0)
            loss = losses.sum() * (share > 0) / len(batch)
            yield loss, {"class/accuracy": right.item() / len(batch)}

    return step


def training_set(
    one: Classifier, found: ClassedTexts, rows: Sequence[ClassedRecord]
) -> TrainingSet:
    """Texts as what is fitted, or looked at, takes them."""
    read = one.read(rows)
    return TrainingSet([len(ids) for ids in read], class_step(one, read, shares_of(found, rows)))


def shares_of(found: ClassedTexts, rows: Sequence[ClassedRecord]) -> Tensor:
    """(texts, classes) how many of those who said something said which."""
    return torch.tensor([found.shares(row) for row in rows])


def worded_set(one: WordModel, rows: Sequence[ReadRow]) -> TrainingSet:
    """Rows of words as what is fitted, or looked at, takes them."""
    return TrainingSet([len(row.ids) for row in rows], word_step(one, rows))


def looks(held: TrainingSet, config: ClassifyConfig) -> HeldOut | None:
    """Loss and accuracy of held-out texts as one batch, looked at while others teach, where that was asked for."""
    count = len(held.lengths)

    @torch.no_grad()
    def look() -> dict[str, float]:
        sums = {"loss": 0.0, "class/accuracy": 0.0}
        for loss, told in held.loss(range(count)):
            sums["loss"] += loss.item()
            sums["class/accuracy"] += told["class/accuracy"]
        found = all_sums(sums)
        return {HELD_OUT: found["loss"], HELD_RIGHT: found["class/accuracy"]}

    return HeldOut.of(look, config, count)


def told_texts(one: Classifier, found: ClassedTexts, rows: Sequence[ClassedRecord]) -> ToldTexts:
    """What the classifier says of some texts, beside what people did."""
    shares = torch.tensor([found.shares(row) for row in rows], dtype=torch.float64)
    return ToldTexts(rows, shares, one.probabilities(one.read(rows)).cpu(), found.classes)


def control_tokens(one: Classifier, rows: Sequence[ClassedRecord]) -> dict[str, int]:
    """How many prompts and texts hold control tokens, which are text there, where some do."""
    held = controls(one.trunk.tokenizer).held
    return counted(held, (row.prompt for row in rows), (row.completion for row in rows))


def slope_receipt(probabilities: Tensor, shares: Tensor) -> dict[str, Any]:
    """That the loss falls along p - y, as its gradient by the logits has to be."""
    logits = probabilities.clamp(min=1e-300).log().requires_grad_()
    (slope,) = torch.autograd.grad(class_loss(logits, shares).sum(), logits)
    off = (slope - (probabilities - shares)).abs().max().item()
    return receipt(_("Gradient of the loss, beside probabilities less shares"), off, SLOPE)


def stored_receipt(folder: Path, one: Classifier, rows: Sequence[ClassedRecord]) -> dict[str, Any]:
    """That what was stored tells the same as what was trained."""
    some = one.read(rows[:64])
    own = one.probabilities(some)  # by all processes, where each holds a part
    stored = own if world().rank else Classifier.load(folder).probabilities(some)
    off = (stored - own).abs().max().item()
    return receipt(_("Probabilities of the stored classifier, beside the trained one's"), off, SAME)
