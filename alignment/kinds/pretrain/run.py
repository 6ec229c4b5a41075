"""Pretraining: a language model learns a corpus, which a grammar writes or a file holds."""

from collections.abc import Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from alignment.kinds.pretrain import shape_of
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.kinds.spec import RunSpec
from alignment.models import checkpoints
from alignment.models.computation import set_up
from alignment.models.loading import open_model, tokenizer_of
from alignment.models.lora import size_of
from alignment.models.policies import Policy, fuse_activations
from alignment.models.processors import default_device
from alignment.models.sharding import spread
from alignment.models.uses import Use
from alignment.pretraining.architectures import new_model
from alignment.pretraining.corpus import Corpus, CorpusFile, tokenized, tokens_of
from alignment.pretraining.epochs import Pretraining, StepPlan, packed_rows
from alignment.pretraining.perplexity import middle_perplexity, perplexity
from alignment.pretraining.prediction import Objective, objective_for
from alignment.pretraining.starter import train_starter
from alignment.pretraining.vocabularies import fit_tokenizer, grow_embeddings, tokenizer_for
from alignment.rows.corpora import file_of
from alignment.seam.events import Event, Finished, PhaseStarted, Ready
from alignment.seam.folders import committed
from alignment.seam.progress import counting, taking
from alignment.seam.words import _

Progress = Generator[Event, str | None, None]


def pretrain(spec: RunSpec, folder: Path) -> Progress:
    """Run of kind pretrain: writes `folder/output`."""
    config = PretrainConfig.stored(spec.config)
    return (train_starter if config.source == "grammar" else learn_file)(spec, folder)


def learn_file(spec: RunSpec, folder: Path) -> Progress:
    """Train a model on the documents of `inputs["corpus"]`."""
    config = PretrainConfig.stored(spec.config)
    torch.manual_seed(spec.seed)
    source = CorpusFile(file_of(folder / spec.inputs["corpus"]), config)
    yield PhaseStarted(name=_("learning the tokens"))
    with counting(100, "%"), taking(1):
        policy = policy_for(config, source, spec, folder)
    yield PhaseStarted(name=_("reading the corpus"))
    with TemporaryDirectory(prefix="tokens-", dir=folder) as aside:
        with counting(100, "%"), taking(1):
            corpus = tokenized(source, policy.tokenizer, Path(aside))
        yield from learn_corpus(policy, corpus, spec, folder)


def learn_corpus(policy: Policy, corpus: Corpus, spec: RunSpec, folder: Path) -> Progress:
    """Train a policy on a corpus, from a checkpoint on where there is one; writes `folder/output`."""
    config = PretrainConfig.stored(spec.config)
    resume = folder / spec.resume_from if spec.resume_from else None
    course = pretraining(config, policy, corpus, spec, folder)
    first = course.restore(resume) if resume else 0
    yield steps_to_come(course, resume, first)
    yield PhaseStarted(name=_("training"))
    if (yield from course.course(first)) == "save":
        return
    yield PhaseStarted(name=_("measuring"))
    summary = figures_of(course, corpus)
    with committed(folder / "output") as output:
        policy.save(output)
    yield Finished(summary=summary)


def policy_for(config: PretrainConfig, source: CorpusFile, spec: RunSpec, folder: Path) -> Policy:
    """The policy to train: a checkpoint's, one that is continued, or a new one."""
    use: Use = "masked" if config.objective == "mlm" else "policy"
    if spec.resume_from:
        model, tokenizer = open_model(folder / spec.resume_from / checkpoints.POLICY, use)
    elif config.model == "continued":
        model, tokenizer = open_model(folder / spec.inputs["policy"], use, "policy")
        fit_tokenizer(tokenizer, config.objective, config.context)
        grow_embeddings(model, tokenizer)
    else:
        if config.tokenization == "taken":
            tokenizer = tokenizer_of(folder / spec.inputs["tokenizer"])
            fit_tokenizer(tokenizer, config.objective, config.context)
        else:
            texts = source.texts()
            tokenizer = tokenizer_for(texts, config.vocabulary, config.objective, config.context)
        model = new_model(config, tokenizer)
    fuse_activations(model)
    placed: Any = model.to(default_device())  # type: ignore[arg-type]  # transformers wraps it without its arguments
    policy = set_up(Policy(placed.eval(), tokenizer), config.computation, backward=True)
    spread(policy.model)
    return policy


def pretraining(
    config: PretrainConfig, policy: Policy, corpus: Corpus, spec: RunSpec, folder: Path
) -> Pretraining:
    """The training of a policy on a corpus, before its first step."""
    objective = objective_for(config, policy)
    rows = packed_rows(corpus.train, context_of(config, policy), objective)
    plan = StepPlan.of(config, rows, spec.seed)
    return Pretraining(policy, config, objective, corpus.train, plan, folder)


def context_of(config: PretrainConfig, policy: Policy) -> int:
    """The longest row: as the settings say, and of a model that is continued at most its own."""
    return min(config.context, policy.context_length)


def steps_to_come(course: Pretraining, resume: Path | None, first: int) -> Ready:
    """The steps to come."""
    exact = resume is None or checkpoints.facts_of(resume)["machine"] == checkpoints.machine()
    return Ready(
        total_steps=course.plan.total,
        threads=torch.get_num_threads(),
        device=str(course.policy.device),
        resumed_step=first,
        bit_exact=exact,
    )


def figures_of(course: Pretraining, corpus: Corpus) -> dict[str, object]:
    """What is known of the trained policy, and of what it learned from."""
    policy, objective, config = course.policy, course.objective, course.config
    context = context_of(config, policy)
    summary: dict[str, object] = {
        "perplexity": perplexity(policy, objective, corpus.held, context).model_dump(),
        "objective": config.objective,
        "tokens": course.done.tokens,
        "epochs": course.done.tokens / tokens_of(corpus.train),
        "tokens_per_second": course.done.tokens / max(course.done.seconds, 1e-9),
        "positions_used": sum(course.plan.lengths) / (len(course.plan.rows) * (context - 1)),
        "documents": corpus.train.documents,
        "documents_heldout": corpus.held.documents,
        "bad_lines": corpus.bad_lines,
        "vocabulary": len(policy.tokenizer),
        "parameters": size_of(policy.model),
        "encoder": objective.masked,
        **hidden_shares(objective),
    }
    if config.objective == "infilling":
        summary["perplexity_middles"] = middle_perplexity(policy, corpus.held, context).model_dump()
    if config.model == "new":
        counted = {"parameters": size_of(policy.model), "vocabulary": len(policy.tokenizer)}
        summary["shape"] = shape_of(config)._replace(**counted)._asdict()
    return summary


def hidden_shares(objective: Objective) -> dict[str, float]:
    """The shares of hidden tokens as they were, of a masked model."""
    counts = objective.counts
    if not counts.get("chosen"):
        return {}
    chosen = counts["chosen"]
    of_chosen = {f"share_{name}": counts[name] / chosen for name in ("masked", "random", "kept")}
    return {"share_chosen": chosen / counts["free"], **of_chosen}
