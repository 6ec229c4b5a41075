"""The starter model: a small GPT-2 trained from scratch on the grammar's corpus, with its tokenizer."""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from alignment.kinds.pretrain import shape_of
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.kinds.spec import RunSpec
from alignment.models import batches, schedules
from alignment.models.schedules import share_of_peak
from alignment.models.stepping import Loop, steps
from alignment.pretraining import architectures, vocabularies
from alignment.pretraining.architectures import new_causal
from alignment.pretraining.vocabularies import END, PAD, trained_bpe
from alignment.seam.errors import CheckpointError
from alignment.seam.events import Event, Finished, PhaseStarted, Ready
from alignment.seam.folders import MANIFEST, committed, verify
from alignment.seam.progress import counting, split, taking, through
from alignment.seam.words import _
from alignment.world import grammar

ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}" + END + "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HELD_OUT = 256  # documents
IGNORED = -100  # label of a position that is not learned
WEIGHT_DECAY = 0.1
MOMENTUM = 0.85  # of Muon: little, as there are few steps
ORTHOGONAL = 4  # Newton-Schulz steps of Muon: a fifth one makes no better held-out perplexity
WARMUP = 0.05  # share of the steps
LEAST = 0.05  # share of the learning rate's peak, at the end
SUMMARY = "starter.json"


@dataclass(frozen=True)
class Document:
    """Token ids of a conversation and its answer; the first `prompt` of them are not learned."""

    ids: list[int]
    prompt: int


def train_starter(spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """Train the starter model into `folder/output`, or copy it from the cache where it is known."""
    config = PretrainConfig.stored(spec.config)
    yield Ready(total_steps=config.steps, threads=torch.get_num_threads(), device="cpu")
    kept = Path(spec.cache) / f"starter-{_fingerprint(config, spec.seed)}" if spec.cache else None
    cached = kept is not None and _intact(kept)
    if not cached:
        yield from _train(config, spec.seed, kept or folder / "output")
    if kept is not None:
        _copy(kept, folder / "output")
    summary = json.loads((folder / "output" / SUMMARY).read_text(encoding="utf-8"))
    yield Finished(summary={**summary, "cached": cached, "shape": shape_of(config)._asdict()})


def _fingerprint(config: PretrainConfig, seed: int) -> str:
    """What decides the weights: the settings, the seed, this code and the libraries below it."""
    sources = [
        Path(module).read_text(encoding="utf-8")
        for module in (
            grammar.__file__,
            batches.__file__,
            schedules.__file__,
            architectures.__file__,
            vocabularies.__file__,
            __file__,
        )
    ]
    versions = [torch.__version__, transformers.__version__]
    parts = [config.model_dump_json(), str(seed), *versions, *sources]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def build_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on the texts, with roles, an end and a chat template."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers has no types for it
        tokenizer_object=trained_bpe(texts, vocabulary, [PAD, END, *ROLES]),
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=list(ROLES),
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _train(config: PretrainConfig, seed: int, target: Path) -> Generator[Event, str | None, None]:
    yield PhaseStarted(name=_("corpus"))
    torch.manual_seed(seed)
    count = config.documents + HELD_OUT
    with counting(count, _("documents")):
        writing, learning, reading = split(1, 2, 8)
        with writing:
            corpus = list(through(grammar.documents(seed, count), count))
        texts = [text for messages, answer in corpus for text in (messages[-1].content, answer)]
        with learning:
            tokenizer = build_tokenizer(texts, config.vocabulary)
        with reading:
            documents = [
                _document(tokenizer, messages[-1].content, answer)
                for messages, answer in through(corpus, count)
            ]
    documents = [Document(d.ids[: config.context], d.prompt) for d in documents]
    model = new_causal(config.dimensions, config.context, tokenizer)
    yield PhaseStarted(name=_("training"))
    loss = yield from _fit(model, config, documents[HELD_OUT:])
    yield PhaseStarted(name=_("measuring"))
    with counting(HELD_OUT, _("documents")), taking(1):
        held_out = _held_out_loss(model, documents[:HELD_OUT])
    summary = {
        "loss": loss,
        "perplexity_heldout": math.exp(held_out),
        "parameters": model.num_parameters(),
        "documents": config.documents,
    }
    with committed(target) as output:
        model.save_pretrained(output)
        tokenizer.save_pretrained(output)
        (output / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")


def _document(tokenizer: PreTrainedTokenizerFast, prompt: str, answer: str) -> Document:
    turns = [{"role": "user", "content": prompt}]
    before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    prompt_ids = tokenizer(before, add_special_tokens=False)["input_ids"]
    answer_ids = tokenizer(answer + END, add_special_tokens=False)["input_ids"]
    return Document(prompt_ids + answer_ids, len(prompt_ids))


def _fit(
    model: GPT2LMHeadModel, config: PretrainConfig, documents: list[Document]
) -> Generator[Event, str | None, float]:
    optimizers = optimizers_of(model, config.learning_rate)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(one, lambda s: _cosine(s, config.steps))
        for one in optimizers
    ]
    losses: list[float] = []
    drawn = _batches(documents, config.batch)

    def take(_: int) -> dict[str, float]:
        started = time.perf_counter()
        losses.append(_step(model, optimizers, next(drawn)))
        rate = float(schedules[0].get_last_lr()[0])
        for schedule in schedules:
            schedule.step()
        return {"loss": losses[-1], "lr": rate, "seconds/step": time.perf_counter() - started}

    yield from steps(Loop(config.steps, take))
    recent = losses[-20:]
    return sum(recent) / len(recent)


def optimizers_of(model: GPT2LMHeadModel, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, which need half as many steps by it; AdamW for all else."""
    matrices = [weight for weight in model.transformer.h.parameters() if weight.ndim == 2]
    known = {id(weight) for weight in matrices}
    others = [weight for weight in model.parameters() if id(weight) not in known]
    adamw = torch.optim.AdamW(
        others, lr=rate, betas=(0.9, 0.95), weight_decay=WEIGHT_DECAY, fused=True
    )
    muon = torch.optim.Muon(
        matrices,
        lr=rate,
        weight_decay=WEIGHT_DECAY,
        momentum=MOMENTUM,
        ns_steps=ORTHOGONAL,
        adjust_lr_fn="match_rms_adamw",  # so that one rate is right for both
    )
    return [muon, adamw]


def _cosine(step: int, total: int) -> float:
    """Linear warm-up, then half a cosine down to a twentieth of the peak."""
    warmup = max(1, round(WARMUP * total))
    falling = max(1, total - warmup)
    return share_of_peak(step, total, rising=warmup, falling=falling, shape="cosine", least=LEAST)


def _step(
    model: GPT2LMHeadModel, optimizers: Sequence[torch.optim.Optimizer], batch: list[Document]
) -> float:
    loss = _loss(model, batch)
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()


def _loss(model: GPT2LMHeadModel, batch: list[Document]) -> Tensor:
    """Mean cross-entropy (nats) of the answers' tokens given what comes before them."""
    length = max(len(document.ids) for document in batch)
    ids = torch.zeros((len(batch), length), dtype=torch.long)
    labels = torch.full((len(batch), length), IGNORED)
    for row, document in enumerate(batch):
        end = len(document.ids)
        ids[row, :end] = torch.tensor(document.ids)
        labels[row, document.prompt : end] = ids[row, document.prompt : end]
    # Padding is on the right of a causal model, so no real position sees it: no mask is needed.
    states = model.transformer(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    learned = labels[:, 1:] != IGNORED
    logits = model.lm_head(states[learned])  # of the others nobody asks
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:][learned])


def _batches(documents: list[Document], size: int) -> Iterator[list[Document]]:
    """Random batches for ever."""
    lengths = [len(document.ids) for document in documents]
    while True:
        for rows in batches.similar_lengths(lengths, size):
            yield [documents[row] for row in rows]


@torch.no_grad()
def _held_out_loss(model: GPT2LMHeadModel, documents: list[Document]) -> float:
    model.eval()  # type: ignore[no-untyped-call]  # transformers has no types for it
    parts = [documents[i : i + 32] for i in range(0, len(documents), 32)]
    return sum(_loss(model, some).item() for some in through(parts, len(parts))) / len(parts)


def _intact(folder: Path) -> bool:
    """Whether the cache holds the folder, unharmed; one that is not is trained again."""
    try:
        verify(folder)
    except CheckpointError:
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    with committed(target) as output:
        for path in source.iterdir():
            if path.name != MANIFEST:
                shutil.copyfile(path, output / path.name)
