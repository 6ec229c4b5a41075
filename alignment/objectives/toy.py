"""A toy small enough to list: what the rest of this library estimates is known of it exactly.

A real policy, two layers of a transformer over a few words, in fp64. Its completions end after any
word or are cut at the length limit, so all of them can be written down; sums over them are exact.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.divergences import Divergence
from alignment.models.policies import Policy
from alignment.objectives.problem import Problem, State, fresh
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.records import Message, PromptRecord, prompt_key
from alignment.targets.targets import Values

END = "<|end|>"
WORDS = "abcdefgh"
PROMPTS = ("a", "b b a")  # of unequal length, so that one of them is padded


@dataclass(frozen=True)
class Listing:
    """Every completion of some prompts; all tensors are fp64 and (prompts, outcomes)."""

    rollouts: Rollouts  # the first prompt's outcomes, then the second's, each prompt's in one order
    values: Values  # of the rollouts
    log_reference: Tensor
    log_scores: Tensor  # log P, not normalised; -inf where the target has no mass

    @property
    def log_z(self) -> Tensor:
        """(prompts,) log of the target's normaliser, exactly."""
        return self.log_scores.logsumexp(1)

    @property
    def log_target(self) -> Tensor:
        """log p of every outcome."""
        return self.log_scores.log_softmax(1)

    def log_policy(self, policy: Policy, *, temperature: float = 1.0) -> Tensor:
        """log policy of every outcome, with gradient."""
        logps = completion_token_logps(policy.model, self.rollouts, temperature=temperature)
        return logps.sum(1).double().view_as(self.log_scores)

    def divergence(
        self, policy: Policy, divergence: Divergence, *, temperature: float = 1.0
    ) -> Tensor:
        """(prompts,) D_f(policy || p), exactly and with gradient."""
        chances = self.log_policy(policy, temperature=temperature).exp()
        return divergence.divergence(chances, self.log_target.exp())


def toy_problem(
    config: AlignConfig, *, words: int = 4, prompts: Sequence[str] = PROMPTS, seed: int = 0
) -> Problem:
    """A run's problem about the toy; its completions are of up to `config.max_new_tokens` tokens.

    With w words and a limit of n tokens a prompt has 1 + w + ... + w^n outcomes.
    """
    rows = [(Message(role="user", content=text),) for text in prompts]
    return Problem(
        prompts=[PromptRecord(key=prompt_key(row), messages=row) for row in rows],
        start=Path(),  # there is no folder: `toy_state` begins with a policy in memory
        reference=toy_policy(words, seed=seed),
        reward=toy_reward,
        config=config,
        seed=seed,
    )


def toy_state(problem: Problem, policy: Policy | None = None) -> State:
    """The state before anything was drawn, of this policy or of a copy of the reference."""
    policy = policy or deepcopy(problem.reference)
    policy.model.requires_grad_(True)  # noqa: FBT003 - torch's signature
    return fresh(problem, policy)


def listing(problem: Problem, lambdas: Sequence[float] = ()) -> Listing:
    """Every completion of the problem's prompts, with the exact target of these lambdas."""
    reference = problem.reference
    rollouts = outcomes(
        problem.ids,
        vocabulary=reference.model.config.vocab_size,
        length=problem.config.max_new_tokens,
        ends=reference.ends,
    )
    with torch.no_grad():
        logps = completion_token_logps(reference.model, rollouts).sum(1).double()
    values = problem.target.values(reference, rollouts)
    scores = problem.target.log_scores(logps, values, lambdas)
    rows = len(problem.prompts)
    return Listing(rollouts, values, logps.view(rows, -1), scores.view(rows, -1))


def outcomes(
    prompts: Sequence[Sequence[int]], *, vocabulary: int, length: int, ends: Sequence[int]
) -> Rollouts:
    """Every completion of every prompt: ended anywhere by any end, or cut at the limit of `length` tokens."""
    known = set(range(vocabulary)) & set(ends)
    others = [token for token in range(vocabulary) if token not in known]
    starts = [start for n in range(length) for start in product(others, repeat=n)]
    ended = [(*start, end) for start in starts for end in sorted(known)]
    completions = [*ended, *product(others, repeat=length)]
    rows = [(tuple(prompt), ids) for prompt in prompts for ids in completions]
    tokens = torch.tensor([[*ids, *[ends[0]] * (length - len(ids))] for _, ids in rows])
    lengths = torch.tensor([len(ids) for _, ids in rows])
    mask = torch.arange(length) < lengths[:, None]
    cut = torch.tensor([ids[-1] not in known for _, ids in rows])
    return Rollouts(tuple(p for p, _ in rows), tokens, mask, torch.zeros(mask.shape), cut)


def toy_policy(words: int = 4, *, seed: int = 0) -> Policy:
    """A random policy over so many words and the end token, which is also its padding."""
    vocabulary = {word: place for place, word in enumerate([END, *WORDS[:words]])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers has no types for it
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        chat_template="{{ messages[-1]['content'] }}",
        clean_up_tokenization_spaces=False,
    )
    model = random_gpt2(fast, vocabulary=len(vocabulary), seed=seed)
    return Policy(model.double(), fast)


def random_gpt2(
    tokenizer: PreTrainedTokenizerFast, *, vocabulary: int, seed: int
) -> GPT2LMHeadModel:
    """Two layers of width 16, with logits far from uniform; the global random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=32,
            n_embd=16,
            n_layer=2,
            n_head=2,
            initializer_range=0.3,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        model = GPT2LMHeadModel(config)
    model.eval()  # type: ignore[no-untyped-call]  # transformers has no types for it
    return model


def toy_reward(policy: Policy, rollouts: Rollouts) -> Tensor:
    """(n,) numbers in [-1, 1] that follow from the tokens and know no order of completions."""
    places = torch.arange(1, rollouts.tokens.shape[1] + 1, device=rollouts.tokens.device)
    return torch.cos((1.7 * places * (rollouts.tokens + 1) * rollouts.mask).sum(1).double())
