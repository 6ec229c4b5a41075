"""Models and prompts to measure steps on: random weights with fixed lengths, or the starter's own."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from alignment.kinds.spec import RunSpec
from alignment.seam.records import Message, PromptRecord, prompt_key
from alignment.trainer import drive
from alignment.world.grammar import prompts

VOCABULARY, CONTEXT, HEAD_WIDTH = 2048, 128, 32  # as the starter's
FAR = 30.0  # whose square is nats beyond any other logit
PROMPTS, PROMPT_LENGTH = 64, 16
QUESTIONS = (
    "How do I keep bread fresh for longer?",
    "What should I pack for a weekend by the sea?",
    "Explain to a child why the moon changes its shape.",
    "Write two sentences that invite my neighbours to dinner.",
    "Which vegetables can I plant in autumn?",
    "How can I learn to wake up earlier?",
    "Give me a simple recipe with lentils.",
    "What is a good way to thank a teacher?",
    "How do bees find their way home?",
    "Suggest a name for a small bakery.",
    "What makes a story exciting?",
    "How do I fix a dripping tap?",
    "Describe the smell of rain on a warm day.",
    "What should I ask before I rent a flat?",
    "How can I remember the names of people I meet?",
    "Tell me how a bicycle stays upright.",
)
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
    """A GPT-2 of random weights; all prompts are as long, and no completion ends before its limit."""
    torch.manual_seed(0)
    return of_random(never_ending(GPT2LMHeadModel(architecture(size)), VOCABULARY - 1), folder)


def llama(size: Size, folder: Path) -> Scene:
    """The same of a Llama, half of whose heads share their keys with another."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=size.width,
        intermediate_size=size.width * 8 // 3,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=max(1, size.heads // 2),
        max_position_embeddings=CONTEXT,
        bos_token_id=None,
        eos_token_id=None,
    )
    return of_random(never_ending_llama(LlamaForCausalLM(config), VOCABULARY - 1), folder)


def of_random(model: PreTrainedModel, folder: Path) -> Scene:
    """A model that never ends, with a tokenizer of numbered words and prompts of them."""
    end = VOCABULARY - 1
    words = {f"w{number}": number for number in range(end)}
    tokenizer = Tokenizer(models.WordLevel({**words, "<end>": end}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", pad_token="w0", chat_template=CONTENT
    ).save_pretrained(folder)
    model.save_pretrained(folder)
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


@torch.no_grad()
def never_ending_llama(model: LlamaForCausalLM, end: int) -> LlamaForCausalLM:
    """The same model with one of its dimensions given up, as no layer writes to it."""
    model.model.embed_tokens.weight[:, 0] = 1.0
    for block in model.model.layers:
        block.self_attn.o_proj.weight[0] = block.mlp.down_proj.weight[0] = 0.0
        block.input_layernorm.weight[0] = block.post_attention_layernorm.weight[0] = 0.0
    model.lm_head.weight[:, 0] = 0.0
    model.lm_head.weight[end, 0] = -(FAR**2)
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


def brought(folder: Path) -> Scene:
    """Somebody's model, with short questions of everyday."""
    return Scene(folder, [asked(text) for text in QUESTIONS])


def asked(text: str) -> PromptRecord:
    """A prompt of one turn."""
    messages = (Message(role="user", content=text),)
    return PromptRecord(key=prompt_key(messages), messages=messages)


SCENES = {"fixed": fixed, "llama": llama, "natural": natural}
