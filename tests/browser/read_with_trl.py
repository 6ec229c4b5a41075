"""Read exports as their readers do: two steps of training with TRL on each.

Prints a JSON object a line: the rows of each split, and the losses of DPO and of a reward model.
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
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

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


def read(folder, out):
    """Open the folder, and train on it."""
    opened = load_dataset(folder, "preference", cache_dir=f"{out}/cache")
    words = tokenizer(opened["train"])
    config = GPT2Config(
        vocab_size=len(words), n_positions=64, n_embd=16, n_layer=2, n_head=2, num_labels=1,
        bos_token_id=words.eos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )  # fmt: skip
    common = {"train_dataset": opened["train"], "processing_class": words}
    dpo = DPOTrainer(
        model=GPT2LMHeadModel(config),
        ref_model=GPT2LMHeadModel(config),
        args=DPOConfig(output_dir=f"{out}/dpo", bf16=False, **STEPS, **QUIET),
        **common,
    )
    reward = RewardTrainer(
        model=GPT2ForSequenceClassification(config),
        args=RewardConfig(output_dir=f"{out}/reward", bf16=False, **STEPS, **QUIET),
        **common,
    )
    counts = {name: len(split) for name, split in opened.items()}
    return {"rows": counts, "dpo": losses(dpo), "reward": losses(reward)}


def main(out, *folders):
    torch.set_num_threads(1)
    for number, folder in enumerate(folders):
        print(json.dumps(read(folder, f"{out}/{number}")), flush=True)
