"""TRL's trainers on a scene, step by step in turn with something else."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from alignment.seam.records import PromptRecord

PEERS = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}
Reward = Callable[[list[list[int]]], list[float]]


class Work(NamedTuple):
    """What every arm is asked to do."""

    model: Path
    prompts: Sequence[PromptRecord]  # in the order of the steps
    reward: Reward
    prompts_per_step: int
    completions: int  # of a prompt
    longest: int
    beta: float
    rate: float
    lora: int = 0  # rank of an adapter on all linear layers; 0: whole weights


class Turns(TrainerCallback):
    """Times each of a trainer's steps and lets the other take its turn after it."""

    def __init__(self, other: Callable[[], float]) -> None:
        self.other = other
        self.seconds: list[tuple[float, float]] = []  # theirs, ours

    def on_step_begin(self, *_args: object, **_options: object) -> None:
        """Start the clock: TRL draws completions inside of its step."""
        self.started = time.perf_counter()

    def on_step_end(self, *_args: object, **_options: object) -> None:
        """Stop it, and let the other step."""
        seconds = time.perf_counter() - self.started
        self.seconds.append((seconds, self.other()))


def in_turn(
    name: str, work: Work, steps: int, micro: int, other: Callable[[], float]
) -> list[tuple[float, float]]:
    """Seconds of so many steps of a TRL trainer, each with those of the other's step after it.

    As its documentation advises for speed without a GPU that vLLM could use: no checkpointing of
    activations, fused Adam, nothing logged or saved; `micro` completions in one forward.
    """
    trainer, config = PEERS[name]
    rows = work.prompts_per_step * work.completions

    def rewarded(completion_ids: list[list[int]], **_: object) -> list[float]:
        return work.reward(completion_ids)

    turns = Turns(other)
    settings = config(
        output_dir=str(work.model / name),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=rows // micro,
        num_generations=work.completions,
        max_completion_length=work.longest,
        beta=work.beta,
        learning_rate=work.rate,
        lr_scheduler_type="constant",
        optim="adamw_torch_fused",
        max_steps=steps,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    asked = [{"prompt": [m.model_dump() for m in prompt.messages]} for prompt in work.prompts]
    adapter = LoraConfig(r=work.lora, lora_alpha=2 * work.lora, target_modules="all-linear")
    trainer(
        model=str(work.model),
        reward_funcs=rewarded,
        args=settings,
        train_dataset=Dataset.from_list(asked),
        callbacks=[turns],
        peft_config=adapter if work.lora else None,
    ).train()
    return turns.seconds
