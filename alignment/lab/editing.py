"""Facts edited by ROME (Meng et al. 2022): where, by which key, with which value, and what it changed.

The layer is the one by which an MLP writes back: GPT-2's `mlp.c_proj`, Llama's `mlp.down_proj`. Its input where a
prompt's subject ends is the key, in the mean of several contexts; the value is found by Adam: what the layer would
have to write there for the new answer to follow, while what is said of the subject itself stays.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from alignment.kinds.edit.facts import Fact
from alignment.lab.facts import Reading
from alignment.lab.layers import Linear, weight_of
from alignment.maths.editing import disturbance, edit_of, least_disturbance
from alignment.models.policies import Policy
from alignment.models.texts import Written, rollouts_of
from alignment.sampling.scoring import batches
from alignment.seam.errors import ConfigError
from alignment.seam.progress import counting, through
from alignment.seam.words import _

WRITING = re.compile(r"\.(\d+)\.mlp\.(?:c_proj|down_proj)$")
BLURRED = 8  # rows whose subject is blurred
NOISE = 3.0  # of the embeddings' standard deviation
WINDOW = 5  # of so many layers, one is undisturbed at once
DECAY = 0.01  # of the squared relative size of a change
TOLD = 0.05  # nats a token, below which an answer is as good as said
ITSELF = "{} is a"  # a prompt about a subject, and nothing else


@dataclass(frozen=True)
class Search:
    """How a value is found."""

    steps: int
    learning_rate: float
    closeness: float
    most_change: float
    contexts: tuple[str, ...] = ()


class Edited(NamedTuple):
    """What an edit did to its layer."""

    weight: Tensor  # (out, in) before
    missed: float  # ‖W' k - v‖, relative
    excess: float  # how far the disturbance is from the least, relative
    nats: float  # a token, of the new answer in the search


def writing_layers(model: PreTrainedModel) -> dict[int, tuple[str, Linear]]:
    """The layers by which MLPs write back, by number, with their names; raises ConfigError where there are none."""
    found = {
        int(match[1]): (name, module)
        for name, module in model.named_modules()
        if (match := WRITING.search(name)) and isinstance(module, nn.Linear | Conv1D)
    }
    if not found:
        raise ConfigError(_("Facts are edited in models like GPT-2 and Llama; this is another."))
    return found


@torch.no_grad()
def moment_at(policy: Policy, rows: Sequence[Written], layer: Linear) -> Tensor:
    """E k kᵀ (in, in), in fp64, of the layer's inputs on all tokens of texts."""
    rollouts = rollouts_of(policy, rows)
    totals = torch.tensor([row.length - 1 for row in rows], device=policy.device)
    width = weight_of(layer).shape[1]
    total = torch.zeros(width, width, dtype=torch.float64, device=policy.device)
    found = list(batches(policy.model, rollouts))
    with counting(len(found), _("texts")):
        for batch in through(found, len(found)):
            real = (
                torch.arange(batch.ids.shape[1], device=policy.device) < totals[batch.rows][:, None]
            )
            with keeping(layer) as inputs:
                logits_of(policy.model, batch.ids)
            keys = inputs[0][real].double()
            total += keys.T @ keys
    return total / totals.sum()


@contextmanager
def keeping(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, what a layer reads is kept."""
    found: list[Tensor] = []

    def keep(given: Tensor, _output: Tensor) -> None:
        found.append(given)

    with hooked(layer, keep):
        yield found


def damped(moment: Tensor, damping: float) -> Tensor:
    """A moment with this share of its mean diagonal added to its diagonal."""
    eye = torch.eye(len(moment), dtype=moment.dtype, device=moment.device)
    return moment + damping * moment.diagonal().mean() * eye


@contextmanager
def hooked(layer: nn.Module, change: Callable[[Tensor, Tensor], Tensor | None]) -> Iterator[None]:
    """Inside, what a layer writes is what `change` makes of its input and output."""

    def hook(_layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        return change(given[0], output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class Batch(NamedTuple):
    """Prompts with answers, right-padded."""

    ids: Tensor  # (b, width)
    ends: Tensor  # (b,) the last token of each subject
    targets: Tensor  # (b, width) what follows each token where it is of an answer, else -100


def batch_of(reading: Reading, rows: Sequence[tuple[str, str]], subject: str) -> Batch:
    """Prompts and answers about one subject; an empty answer is none."""
    device = reading.policy.device
    found = []
    for prompt, text in rows:
        answer = reading.answer(prompt, text) if text else ()
        before = reading.written(prompt, answer).prompt if answer else reading.ids(prompt)
        found.append((before, answer, reading.subject(before, subject)[1]))
    width = max(len(before) + len(answer) for before, answer, _end in found)
    ids = torch.zeros(len(found), width, dtype=torch.long)
    targets = torch.full((len(found), width), -100)
    for place, (before, answer, _end) in enumerate(found):
        whole = torch.tensor([*before, *answer])
        ids[place, : len(whole)] = whole
        targets[place, len(before) - 1 : len(whole) - 1] = whole[len(before) :]
    ends = torch.tensor([end for _before, _answer, end in found])
    return Batch(ids.to(device), ends.to(device), targets.to(device))


def logits_of(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """(b, width, vocab); padding on the right of a causal model changes nothing."""
    found: Tensor = model(
        input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False
    ).logits
    return found.float()


def edit_fact(
    reading: Reading, layer: Linear, moment: Tensor, fact: Fact, search: Search
) -> Edited:
    """Let a layer's weight say a fact, in place; `moment` (in, in) is that of its keys, damped."""
    prompts = [fact.prompt, *(f"{before} {fact.prompt}" for before in search.contexts)]
    key = key_of(reading, layer, prompts, fact.subject)
    value, nats = value_of(reading, layer, prompts, fact, search)
    before = weight_of(layer).clone()
    bias = layer.bias.detach().double() if layer.bias is not None else 0.0
    edit = edit_of(before, key, value.double() - bias, moment)
    with torch.no_grad():
        change = edit.change.to(before)
        layer.weight += change.T if isinstance(layer, Conv1D) else change
    found = weight_of(layer).double() @ key.double() + bias
    missed = ((found - value).norm() / value.norm()).item()
    least = least_disturbance(edit.left, key, moment)
    excess = disturbance(edit.change, moment) / max(least, 1e-30) - 1
    return Edited(before, missed, excess, nats)


@torch.no_grad()
def key_of(reading: Reading, layer: Linear, prompts: Sequence[str], subject: str) -> Tensor:
    """(in,) what the layer reads where the subject ends, in the mean of the prompts."""
    batch = batch_of(reading, [(prompt, "") for prompt in prompts], subject)
    with keeping(layer) as inputs:
        logits_of(reading.policy.model, batch.ids)
    return inputs[0][torch.arange(len(batch.ids)), batch.ends].mean(0)


def value_of(
    reading: Reading, layer: Linear, prompts: Sequence[str], fact: Fact, search: Search
) -> tuple[Tensor, float]:
    """(out,) what the layer has to write where the subject ends, and the nats a token of the answer then."""
    model = reading.policy.model
    batch = batch_of(reading, [(prompt, fact.answer) for prompt in prompts], fact.subject)
    about = batch_of(reading, [(ITSELF.format(fact.subject), "")], fact.subject)
    start = written_at(model, layer, batch)
    with torch.no_grad():
        known = logits_of(model, about.ids)[0, -1].log_softmax(-1)
    delta = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=search.learning_rate)
    most, nats = search.most_change * start.norm(), 0.0

    def added(ends: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        def change(_given: Tensor, output: Tensor) -> Tensor:
            places = nn.functional.one_hot(ends, output.shape[1]).to(output.dtype)
            return output + places[:, :, None] * delta

        return change

    for _step in range(search.steps):
        with torch.enable_grad():
            with hooked(layer, added(batch.ends)):
                logits = logits_of(model, batch.ids)
            told = nn.functional.cross_entropy(
                logits.transpose(1, 2), batch.targets, reduction="none"
            )
            counts = (batch.targets >= 0).sum(1)
            loss = (told.sum(1) / counts).mean()
            with hooked(layer, added(about.ends)):
                now = logits_of(model, about.ids)[0, -1].log_softmax(-1)
            kl = (known.exp() * (known - now)).sum()
            size = delta.square().sum() / start.square().sum().clamp(min=1e-12)
            whole = loss + search.closeness * kl + DECAY * size
            delta.grad = torch.autograd.grad(whole, delta)[0]
        if (nats := loss.item()) < TOLD:
            break
        optimizer.step()
        with torch.no_grad():
            delta *= (most / delta.norm().clamp(min=1e-12)).clamp(max=1.0)
    return (start + delta).detach(), nats


@torch.no_grad()
def written_at(model: PreTrainedModel, layer: Linear, batch: Batch) -> Tensor:
    """(out,) what a layer writes where the subject of the first prompt ends."""
    found: list[Tensor] = []

    def keep(_given: Tensor, output: Tensor) -> None:
        found.append(output[0, batch.ends[0]].clone())

    with hooked(layer, keep):
        logits_of(model, batch.ids)
    return found[0]


@torch.no_grad()
def effects_of(reading: Reading, fact: Fact, old: Sequence[int], seed: int) -> list[float]:
    """By how much each layer brings back the old answer's first token where the subject is blurred.

    A row reads the prompt as it is, others with noise on the subject's embeddings; where the subject ends, some
    layers about the one that is asked for write there what they write in the first row (causal tracing).
    """
    model: Any = reading.policy.model
    layers = [module for _name, module in dict(sorted(writing_layers(model).items())).values()]
    ids = reading.ids(fact.prompt)
    first, last = reading.subject(ids, fact.subject)
    tokens = torch.tensor([list(ids)] * (1 + BLURRED), device=reading.policy.device)
    embedding = model.get_input_embeddings()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(BLURRED, last - first + 1, embedding.weight.shape[1], generator=generator)
    noise = (NOISE * embedding.weight.std().cpu() * noise).to(embedding.weight)

    def blur(_given: Tensor, output: Tensor) -> Tensor:
        output = output.clone()
        output[1:, first : last + 1] += noise
        return output

    def undisturbed(_given: Tensor, output: Tensor) -> Tensor:
        output = output.clone()
        output[1:, last] = output[0, last]
        return output

    def chance(of: Sequence[nn.Module]) -> float:
        with ExitStack() as stack:
            stack.enter_context(hooked(embedding, blur))
            for one in of:
                stack.enter_context(hooked(one, undisturbed))
            logits = logits_of(model, tokens)
        return logits[1:, -1].softmax(-1)[:, old[0]].mean().item()

    half = max(1, len(layers) // WINDOW) // 2
    nothing = chance([])
    return [
        chance(layers[max(0, place - half) : place + half + 1]) - nothing
        for place in range(len(layers))
    ]
