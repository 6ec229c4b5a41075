"""Read exports as their readers do: two steps of each of TRL's trainers that such rows are for.

Prints a JSON object a line: the folder, the trainer, and what it lost at each step.
"""

import json

import torch
from datasets import load_dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

END = "<|end|>"
CHAT = (
    "{% for turn in messages %}{{ turn['role'] + ': ' + turn['content'] + '<|end|>' }}{% endfor %}"
)
STEPS = {"max_steps": 2, "per_device_train_batch_size": 2, "logging_steps": 1, "use_cpu": True}
QUIET = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_length": 64}


def tokenizer(rows):
    """A small byte-level tokenizer that knows these rows."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    made.train_from_iterator((json.dumps(row) for row in rows), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=END, chat_template=CHAT
    )


def losses(trainer):
    """Train, and say what was lost at each step."""
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def tiny_models(words):
    """Makes of tiny models, one that tells the next word and one that tells a score."""
    config = GPT2Config(
        vocab_size=len(words), n_positions=64, n_embd=16, n_layer=1, n_head=2, num_labels=1,
        bos_token_id=words.eos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    return (lambda: GPT2LMHeadModel(config)), (lambda: GPT2ForSequenceClassification(config))


def trainer_of(name, words, out, rows):
    """One of TRL's, with what it asks for and nothing else."""
    policy, scorer = tiny_models(words)
    common = {"train_dataset": rows, "processing_class": words}
    args = {"output_dir": out, "bf16": False, **STEPS, **QUIET}
    if name == "dpo":
        return DPOTrainer(policy(), policy(), args=DPOConfig(**args), **common)
    if name == "kto":
        return KTOTrainer(policy(), policy(), args=KTOConfig(**args), **common)
    if name == "reward":
        return RewardTrainer(scorer(), args=RewardConfig(**args), **common)
    return SFTTrainer(policy(), args=SFTConfig(**args), **common)


def main(out, jobs):
    """Let each trainer of each folder's config take two steps; says what it lost at each."""
    torch.set_num_threads(1)
    for folder, config, named in jobs:
        rows = load_dataset(str(folder), config, cache_dir=f"{out}/cache")["train"]
        words = tokenizer(rows)
        for name in named:
            place = f"{out}/{folder.name}-{name}"
            said = {"folder": folder.name, "trainer": name, "columns": rows.column_names}
            said["losses"] = losses(trainer_of(name, words, place, rows))
            print(json.dumps(said), flush=True)
