"""Models and prompts to measure steps on: random weights with fixed lengths, or the starter's own."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from alignment.kinds.spec import RunSpec
from alignment.seam.records import Message, PromptRecord, prompt_key
from alignment.trainer import drive
from alignment.world.grammar import prompts

VOCABULARY, CONTEXT, HEAD_WIDTH = 2048, 128, 32  # as the starter's
FAR = 30.0  # whose square is nats beyond any other logit
PROMPTS, PROMPT_LENGTH = 64, 16
CONTENT = "{% for message in messages %}{{ message['content'] }}{% endfor %}"


@dataclass(frozen=True)
class Size:
    """Of a GPT-2."""

    layers: int
    width: int

    @property
    def heads(self) -> int:
        """Of attention."""
        return self.width // HEAD_WIDTH


SIZES = {"4x128": Size(4, 128), "6x256": Size(6, 256)}
LARGE = {"tiny": Size(1, 32), "124m": Size(12, 768), "355m": Size(24, 1024)}  # of `benchmarks.gpu`


@dataclass(frozen=True)
class Scene:
    """A model's folder, and what it is asked."""

    model: Path
    prompts: list[PromptRecord]


def fixed(size: Size, folder: Path) -> Scene:
    """Random weights; all prompts are as long, and no completion ends before its limit."""
    end = VOCABULARY - 1
    words = {f"w{number}": number for number in range(end)}
    tokenizer = Tokenizer(models.WordLevel({**words, "<end>": end}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="w0", chat_template=CONTENT
    ).save_pretrained(folder)
    torch.manual_seed(0)
    never_ending(GPT2LMHeadModel(architecture(size)), end).save_pretrained(folder)
    numbers = torch.randint(1, end, (PROMPTS, PROMPT_LENGTH)).tolist()
    return Scene(folder, [asked(" ".join(f"w{number}" for number in row)) for row in numbers])


@torch.no_grad()
def never_ending(model: GPT2LMHeadModel, end: int) -> GPT2LMHeadModel:
    """The same model with one of its dimensions given up to say that the end is not written."""
    norm, tokens = model.transformer.ln_f, model.transformer.wte
    norm.weight[0], norm.bias[0] = 0.0, FAR
    tokens.weight[:, 0] = 0.0
    tokens.weight[end, 0] = -FAR
    return model


def architecture(size: Size) -> GPT2Config:
    """Of a GPT-2 without dropout, with the activation in one operation, as the starter's is."""
    return GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=size.width,
        n_layer=size.layers,
        n_head=size.heads,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )


def natural(size: Size, folder: Path) -> Scene:
    """The starter of this size, trained once per machine, with prompts of its own kind."""
    settings = {"layers": size.layers, "width": size.width, "heads": size.heads, "steps": 300}
    cache = Path(gettempdir(), "attune-benchmarks")
    cache.mkdir(exist_ok=True)
    spec = RunSpec(kind="pretrain", run=0, epoch=0, config=settings, inputs={}, cache=str(cache))
    for _ in drive(spec, folder):
        pass
    rows = itertools.islice(prompts(seed=2, count=PROMPTS), PROMPTS)
    return Scene(folder / "output", [asked(row[-1].content) for row in rows])


def asked(text: str) -> PromptRecord:
    """A prompt of one turn."""
    messages = (Message(role="user", content=text),)
    return PromptRecord(key=prompt_key(messages), messages=messages)


SCENES = {"fixed": fixed, "natural": natural}
