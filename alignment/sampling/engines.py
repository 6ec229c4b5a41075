"""Who draws completions: one row per engine, all with the same settings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.settings.drawing import WarpSettings
from alignment.kinds.spec import RunSpec
from alignment.models.checks import check_apart
from alignment.models.control_tokens import Held, controls
from alignment.models.conversations import named_ends, prompt_ids
from alignment.models.devices import Placement
from alignment.models.loading import generation_of
from alignment.models.policies import Policy
from alignment.models.texts import drawn_texts
from alignment.models.trials import sampler as tried
from alignment.sampling.sampling import sample
from alignment.sampling.stops import cut_at
from alignment.sampling.warps import Warp
from alignment.seam.errors import ConfigError
from alignment.seam.progress import split
from alignment.seam.records import CompletionRecord, PromptRecord
from alignment.seam.words import _

Draw = Callable[[Sequence[PromptRecord]], list[list[CompletionRecord]]]
ATTEMPTS = 4  # draws of a prompt before completions of equal text are accepted
FIRST = 0.9  # share of the first draw, which is mostly the only one, in what there is to do


@dataclass(frozen=True)
class Engine:
    """`draw` gives each prompt `GenerateConfig.drawn` completions, others every time."""

    device: str
    draw: Draw
    held: Held  # the control tokens in a text: read as text, but by most servers


def _sampler(spec: RunSpec, folder: Path) -> Engine:
    """Our own: a key-value cache, the prompt read once for all its completions."""
    config = GenerateConfig.stored(spec.config)
    placement = Placement.of(config)
    policy = tried(policy_folder(spec, folder), "policy", placement)
    draw = partial(
        draw_records,
        policy,
        completions=config.drawn,
        max_new_tokens=config.max_new_tokens,
        warp=warp_of(config),
        generator=torch.Generator().manual_seed(spec.seed),
    )
    return Engine(str(policy.device), draw, controls(policy.tokenizer).held)


def draw_records(
    policy: Policy,
    prompts: Sequence[PromptRecord],
    *,
    completions: int,
    max_new_tokens: int,
    warp: Warp,
    generator: torch.Generator,
) -> list[list[CompletionRecord]]:
    """So many completions of each prompt, each cut where it stops; raises as `sample` does."""
    rollouts = sample(
        policy,
        [policy.prompt_ids(prompt.messages) for prompt in prompts],
        completions=completions,
        max_new_tokens=max_new_tokens,
        warp=warp,
        generator=generator,
    )
    keys = [prompt.key for prompt in prompts for _ in range(completions)]
    columns = (rollouts.logps, rollouts.lengths, rollouts.truncated)
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    records = [
        CompletionRecord(
            prompt_key=key,
            text=cut_at(text, warp.stops),
            logps=logps,
            tokens=tokens,
            truncated=truncated,
        )
        for key, text, (logps, tokens, truncated) in zip(
            keys, drawn_texts(policy, rollouts), numbers, strict=True
        )
    ]
    return [records[i : i + completions] for i in range(0, len(records), completions)]


def answers(
    draw: Draw, prompts: Sequence[PromptRecord], wanted: int
) -> list[list[CompletionRecord]]:
    """Completions of each prompt, of different text where the policy gives as many."""
    drawn: list[list[CompletionRecord]] = [[] for _ in prompts]
    for share in split(FIRST, *[(1 - FIRST) / (ATTEMPTS - 1)] * (ATTEMPTS - 1)):
        lacking = [i for i, row in enumerate(drawn) if len(distinct_ones(row)) < wanted]
        if not lacking:
            break
        with share:
            found = draw([prompts[i] for i in lacking])
        for i, row in zip(lacking, found, strict=True):
            drawn[i] += row
    return [(distinct_ones(row) + _repeated(row))[:wanted] for row in drawn]


def distinct_ones(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    """The first completion of each text, in the order drawn; gaps around it make no other one."""
    return list({record.text.strip(): record for record in reversed(row)}.values())[::-1]


def _repeated(row: Sequence[CompletionRecord]) -> list[CompletionRecord]:
    first = {id(record) for record in distinct_ones(row)}
    return [record for record in row if id(record) not in first]


def warp_of(config: WarpSettings) -> Warp:
    """What of the settings changes the chances of a token, or ends a completion."""
    return Warp(
        config.temperature,
        config.greedy,
        config.top_k,
        config.top_p,
        config.min_p,
        config.repetition_penalty,
        config.stops,
    )


def vllm(spec: RunSpec, folder: Path) -> Engine:
    """vLLM in this process; raises ConfigError where it is not installed."""
    if find_spec("vllm") is None:
        raise ConfigError(
            _("vLLM is not installed here; install it on the worker, or take our sampler.")
        )
    from vllm import LLM, SamplingParams  # noqa: PLC0415 - optional, and loads for a minute

    config, path = GenerateConfig.stored(spec.config), policy_folder(spec, folder)
    check_apart(path)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    model = LLM(
        model=str(path),
        dtype="float32",  # as the policies of all other runs
        seed=spec.seed,
        trust_remote_code=False,
        logprobs_mode="processed_logprobs",  # at the temperature, as our sampler's are
    )
    asked = SamplingParams(
        n=config.drawn,
        temperature=0.0 if config.greedy else config.temperature,
        top_k=config.top_k,  # 0: all, there too
        top_p=config.top_p,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,  # of the prompt's tokens as well, there too
        stop=list(config.stops),  # which its text leaves out
        max_tokens=config.max_new_tokens,
        logprobs=0,  # of the drawn tokens alone
        stop_token_ids=ends_in(path, tokenizer),
    )

    def draw(prompts: Sequence[PromptRecord]) -> list[list[CompletionRecord]]:
        ids = [{"prompt_token_ids": prompt_ids(tokenizer, prompt.messages)} for prompt in prompts]
        found = model.generate(ids, asked, use_tqdm=False)
        return [
            [_of_vllm(prompt.key, made) for made in request.outputs]
            for prompt, request in zip(prompts, found, strict=True)
        ]

    return Engine("vllm", draw, controls(tokenizer).held)


def ends_in(folder: Path, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens with which a stored model ends an answer, as `Policy.ends` says of one that is loaded."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    size = int(config.get_text_config().vocab_size)
    return list(named_ends(tokenizer, generation_of(folder, config).eos_token_id, size))


def _of_vllm(key: str, made: Any) -> CompletionRecord:  # noqa: ANN401 - a CompletionOutput
    return CompletionRecord(
        prompt_key=key,
        text=made.text,
        logps=made.cumulative_logprob,
        tokens=len(made.token_ids),
        truncated=made.finish_reason == "length",
    )


def server(spec: RunSpec, folder: Path) -> Engine:
    """A server that speaks OpenAI's protocol, with a model and a chat template of its own."""
    config = GenerateConfig.stored(spec.config)
    from alignment.sampling.servers import Server, look_alikes  # noqa: PLC0415 - half a second, for few runs

    return Engine("server", Server(config, spec.seed).draw, look_alikes)


def policy_folder(spec: RunSpec, folder: Path) -> Path:
    """Where the policy that answers is; raises ConfigError where none is named."""
    if "policy" not in spec.inputs:
        raise ConfigError(_("The run names no policy among its inputs; say which model answers."))
    return folder / spec.inputs["policy"]


ENGINES: Mapping[str, Callable[[RunSpec, Path], Engine]] = {
    "sampler": _sampler,
    "vllm": vllm,
    "server": server,
}
