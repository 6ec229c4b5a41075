"""Losses on pairs and thumbs: their optimum, and the same numbers as TRL's on the same batch."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from transformers import GPT2Config, GPT2ForSequenceClassification
from trl import (
    DPOConfig,
    DPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
)
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

from alignment.kinds.prefer.run import losses, sft_weight
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.reward.settings import RewardConfig as LabelConfig
from alignment.maths.divergences import DIVERGENCES, alpha
from alignment.maths.preferences import (
    Sides,
    f_dpo_margins,
    ipo_losses,
    kto_losses,
    log1mexp,
    logistic_losses,
    odds_margins,
    score_of,
)
from alignment.reward import fitting
from alignment.reward.examples import Example
from alignment.reward.observation import Observation
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair

REWARDS = torch.tensor([1.0, -0.4, 0.3, 0.0, -1.3], dtype=torch.float64)
REFERENCE = torch.tensor([0.3, -1.0, 0.2, 0.8, 0.1], dtype=torch.float64).log_softmax(0)
CASES = [("reverse_kl", 1.0), ("forward_kl", 1.0), ("jensen_shannon", 1.0)]
CASES += [("squared_hellinger", 1.0), ("alpha", 0.3), ("alpha", -1.0)]


HALVINGS = 60  # of an interval of 100: what is left is less than float64 tells apart


def sides(chosen, rejected):
    """Pairs of which the log-ratios alone are looked at."""
    nothing = torch.zeros_like(chosen)
    return Sides(chosen, rejected, nothing, nothing, nothing, nothing)


def f_dpo_losses(chosen, rejected, score, beta):
    return logistic_losses(f_dpo_margins(sides(chosen, rejected), score, beta))


def slope(name, order):
    """f' by its pseudo-reward; the score of Jensen and Shannon is of twice the divergence."""
    f = alpha(order) if name == "alpha" else DIVERGENCES[name]
    scale = 2 if name == "jensen_shannon" else 1
    return lambda u: -scale * f.pseudo_reward(u)


def optimum(derivative, beta):
    """u of the policy that maximises E[r] - beta D_f: f'(e^u) = (r - a) / beta, a by bisection."""

    def ratios(shift):
        low, high = torch.full_like(REWARDS, -40), torch.full_like(REWARDS, 40)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            less = derivative(middle) < (REWARDS - shift) / beta
            low, high = torch.where(less, middle, low), torch.where(less, high, middle)
        return low

    low, high = -50.0, 50.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        mass = (REFERENCE + ratios(middle)).exp().sum()
        low, high = (middle, high) if mass > 1 else (low, middle)
    return ratios(middle)


@pytest.mark.parametrize(("name", "order"), CASES)
def test_the_best_policy_s_scores_differ_as_the_rewards_do(name, order):
    u = optimum(slope(name, order), beta=0.7)
    assert (REFERENCE + u).exp().sum().item() == pytest.approx(1)
    scores = 0.7 * score_of(name, order)(u)
    torch.testing.assert_close(scores - scores[0], REWARDS - REWARDS[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize(("name", "order"), CASES)
def test_the_loss_rests_where_labels_follow_those_rewards(name, order):
    """Over all pairs, labelled as often as Bradley and Terry say, the optimum has no gradient."""
    u = optimum(slope(name, order), beta=0.7).requires_grad_()
    chosen, rejected = torch.cartesian_prod(torch.arange(5), torch.arange(5)).T
    often = torch.sigmoid(REWARDS[chosen] - REWARDS[rejected])
    losses = f_dpo_losses(u[chosen], u[rejected], score_of(name, order), 0.7)
    (gradient,) = torch.autograd.grad((often * losses).sum(), u)
    assert gradient.abs().max() < 1e-9


def test_ipo_by_hand():
    chosen, rejected = torch.tensor([1.0, 6.0]), torch.tensor([0.0, 1.0])
    assert ipo_losses(chosen - rejected, 0.1).tolist() == [16.0, 0.0]


def test_kto_wants_good_ones_above_and_bad_ones_below_the_rest():
    ratios, good = torch.tensor([3.0, 3.0]), torch.tensor([True, False])
    losses = kto_losses(ratios, good, torch.tensor(-1.0), 0.5)
    expected = torch.sigmoid(torch.tensor([-1.5, 1.5]))
    torch.testing.assert_close(losses, expected)


# TRL's trainers on a tiny model, and our losses on the very tokens that they read.


QUIET = {
    "per_device_train_batch_size": 4,
    "report_to": [],
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
}
PAIRS = {
    "prompt": ["sun day", "rain", "good night now", "a b"],
    "chosen": [" good sun", " rain", " please a b", " day"],
    "rejected": [" bad", " night night rain", " now", " sun b a"],
}


def logps_of(model, ids, mask):
    """(n,) log-probabilities of the tokens that the mask keeps."""
    logps = model(ids).logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    return (logps * mask[:, 1:]).sum(1)


def ratios(model, reference, ids, mask):
    """(n,) log-ratios of the same."""
    return logps_of(model, ids, mask) - logps_of(reference, ids, mask)


def sides_in(batch, model, reference):
    """TRL's batch as the losses take it."""
    ids, mask = batch["input_ids"], batch["completion_mask"]
    logps, u = logps_of(model, ids, mask), ratios(model, reference, ids, mask)
    return Sides(*u.chunk(2), *logps.chunk(2), *mask.sum(1).to(u.dtype).chunk(2))


def loss_of(found, config):
    """Of a batch, as a step has it."""
    sft = found.chosen_logps.sum() / found.chosen_tokens.sum()
    return losses(found, torch.zeros(()), config).mean() - sft_weight(config) * sft


TRL_NAMES = {"reverse_kl": "reverse_kl", "forward_kl": "forward_kl"}
TRL_NAMES |= {"jensen_shannon": "js_divergence", "alpha": "alpha_divergence"}


@pytest.mark.parametrize("name", TRL_NAMES)
def test_f_dpo_is_trl_s(tmp_path, name):
    policy, reference = tiny_policy(seed=1), tiny_policy(seed=2)
    args = DPOConfig(
        str(tmp_path),
        beta=0.3,
        f_divergence_type=TRL_NAMES[name],
        f_alpha_divergence_coef=0.4,
        **QUIET,
    )
    trainer = DPOTrainer(
        policy.model,
        reference.model,
        args,
        train_dataset=Dataset.from_dict(PAIRS),
        processing_class=policy.tokenizer,
    )
    assert_same(
        trainer, policy, reference, PreferConfig(beta=0.3, divergence=name, **order_of(name))
    )


def order_of(name):
    return {"alpha": 0.4} if name == "alpha" else {}


def assert_same(trainer, policy, reference, config):
    """Both losses of the tokens that TRL reads."""
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(trainer.model.eval(), batch)
    found = loss_of(sides_in(batch, policy.model, reference.model), config)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


OURS = {
    "hinge": ({"loss": "hinge"}, {"loss_type": ["hinge"]}),
    "hinge of Jensen and Shannon": (
        {"loss": "hinge", "divergence": "jensen_shannon"},
        {"loss_type": ["hinge"], "f_divergence_type": "js_divergence"},
    ),
    "robust": (
        {"flipped": 0.2, "robust": True},
        {"loss_type": ["robust"], "label_smoothing": 0.2},
    ),
    "by the token": ({"per_token": True}, {"loss_type": ["sigmoid_norm"]}),
    "IPO by the token": ({"loss": "ipo", "per_token": True}, {"loss_type": ["ipo"]}),
    "beside demonstrations": (
        {"sft_weight": 0.7},
        {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.7]},
    ),
    "hinge beside demonstrations": (
        {"loss": "hinge", "sft_weight": 2.0},
        {"loss_type": ["hinge", "sft"], "loss_weights": [1.0, 2.0]},
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_losses_of_pairs_are_trl_s(tmp_path, name):
    mine, theirs = OURS[name]
    policy, reference = tiny_policy(seed=1), tiny_policy(seed=2)
    trainer = DPOTrainer(
        policy.model,
        reference.model,
        DPOConfig(str(tmp_path), beta=0.3, **theirs, **QUIET),
        train_dataset=Dataset.from_dict(PAIRS),
        processing_class=policy.tokenizer,
    )
    assert_same(trainer, policy, reference, PreferConfig(beta=0.3, **mine))


@pytest.mark.parametrize("flipped", [0.0, 0.2])
def test_simpo_and_cdpo_are_trl_s(flipped):
    """Its own loss of log-probabilities a token; with a target of 0 it is that of cDPO's margins."""
    chosen, rejected, tokens = (torch.tensor(row) for row in ([-9.0, -4], [-3.0, -8], [3.0, 4]))
    asks = SimpleNamespace(
        loss_type="simpo", beta=2.0, simpo_gamma=0.6, label_smoothing=flipped, alpha=0.0
    )
    asks.accelerator = SimpleNamespace(device="cpu")
    expected, *_ = CPOTrainer.cpo_loss(asks, chosen / tokens, rejected / tokens)
    found = Sides(chosen, rejected, chosen, rejected, tokens, tokens)
    config = PreferConfig(loss="simpo", beta=2.0, target_margin=0.6, flipped=flipped)
    torch.testing.assert_close(losses(found, torch.zeros(()), config), expected)


def test_orpo_is_trl_s():
    chosen, rejected, tokens = (torch.tensor(row) for row in ([-9.0, -0.4], [-3.0, -8], [3.0, 4]))
    asks = SimpleNamespace(beta=0.4, accelerator=SimpleNamespace(device="cpu"))
    expected, *_ = ORPOTrainer.odds_ratio_loss(asks, chosen / tokens, rejected / tokens)
    found = Sides(chosen, rejected, chosen, rejected, tokens, tokens)
    config = PreferConfig(loss="orpo", beta=0.4)
    torch.testing.assert_close(losses(found, torch.zeros(()), config), -expected)  # TRL adds it so
    assert sft_weight(config) == 1


def test_odds_of_what_is_almost_sure_and_almost_never_are_finite():
    logps = torch.tensor([-1e-9, -1e-3, -0.7, -50.0, 0.0], requires_grad=True)
    exact = torch.log(-torch.expm1(logps.detach().double()[:4]))
    found = log1mexp(logps)
    torch.testing.assert_close(found[1:4].double(), exact[1:4], atol=1e-7, rtol=1e-6)
    ones = torch.ones(5)
    odds_margins(Sides(ones, ones, logps, logps.detach() - 1, ones, ones)).sum().backward()
    assert found.isfinite().all()
    assert logps.grad.isfinite().all()


def test_robust_losses_have_the_mean_of_right_labels():
    margins = torch.tensor([2.0, -1.0, 0.3])
    seen = 0.7 * logistic_losses(margins, 0.3, robust=True)
    seen += 0.3 * logistic_losses(-margins, 0.3, robust=True)
    torch.testing.assert_close(seen, logistic_losses(margins))


def test_smoothed_losses_rest_where_the_odds_are_those_of_wrong_labels():
    margins = torch.tensor([0.8 / 0.2]).log().requires_grad_()
    logistic_losses(margins, 0.2).sum().backward()
    assert margins.grad.abs().max() < 1e-7


def test_kto_is_trl_s(tmp_path):
    policy, reference = tiny_policy(seed=1), tiny_policy(seed=2)
    rows = {"prompt": PAIRS["prompt"], "completion": PAIRS["chosen"], "label": [True, False] * 2}
    trainer = KTOTrainer(
        policy.model,
        reference.model,
        KTOConfig(str(tmp_path), beta=0.3, **QUIET),
        train_dataset=Dataset.from_dict(rows),
        processing_class=policy.tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(trainer.model.eval(), batch)
    models = policy.model, reference.model
    u = ratios(*models, batch["input_ids"], batch["completion_mask"])
    kl = ratios(*models, batch["KL_input_ids"], batch["KL_completion_mask"]).mean()
    good = torch.as_tensor(batch["label"], dtype=torch.bool)
    torch.testing.assert_close(kto_losses(u, good, kl, 0.3).mean(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(
    ("pull", "margins"), [(None, None), (0.3, None), (0.3, [0.5, -0.25, 2.0, 0.0])]
)
def test_the_reward_model_s_loss_is_trl_s(tmp_path, pull, margins):
    tokenizer = tiny_policy().tokenizer
    torch.manual_seed(3)
    shape = GPT2Config(
        vocab_size=16,
        n_positions=32,
        n_embd=16,
        n_layer=2,
        n_head=2,
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = GPT2ForSequenceClassification(shape).eval()
    trainer = RewardTrainer(
        model,
        RewardConfig(str(tmp_path), center_rewards_coefficient=pull, **QUIET),
        train_dataset=Dataset.from_dict(PAIRS | ({"margin": margins} if margins else {})),
        processing_class=tokenizer,
    )
    batch = next(iter(trainer.get_train_dataloader()))
    expected = trainer.compute_loss(model.eval(), dict(batch))
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    scores = torch.stack(logits.chunk(2), 1).flatten(0, 1)  # a pair's two one after the other
    leads = batch["margin"].tolist() if margins else [0.0] * (len(scores) // 2)
    examples = [Example(a_pair("a", "b", "c", margin=lead), ([1], [2])) for lead in leads]
    observation = Observation(LabelConfig(ties="drop", centring_penalty=pull or 0), [])
    found = fitting.loss_of(observation, scores, examples, torch.ones(len(examples), 1))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("name", "order"), [*CASES, ("alpha", -3.0)])
def test_far_log_ratios_leave_finite_gradients(name, order):
    """In fp32 e^-u of a rejected completion overflows early; its pair is right and has no loss."""
    u = torch.tensor([[3.0, -400.0], [-400.0, 3.0], [0.0, -25.0]], requires_grad=True)
    losses = f_dpo_losses(u[:, 0], u[:, 1], score_of(name, order), beta=0.1)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert u.grad.isfinite().all()
    assert u.grad[1, 0] < 0 < u.grad[1, 1]  # where the order is wrong, it is learned
