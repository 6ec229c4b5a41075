import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from alignment.kinds.pretrain.run import pretrain
from alignment.kinds.spec import RunSpec
from alignment.pretraining.starter import Document, _loss, build_tokenizer, optimizers_of
from alignment.seam.events import Finished, StepDone

TINY = {
    "documents": 200, "layers": 1, "width": 16, "heads": 2, "vocabulary": 400, "context": 96,
    "steps": 12, "batch": 8, "learning_rate": 0.02,
}  # fmt: skip


def run(folder, *, seed=0, cache=None):
    folder.mkdir()
    spec = RunSpec(kind="pretrain", run=1, epoch=1, seed=seed, config=TINY, cache=cache)
    return list(pretrain(spec, folder))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starter") / "run"
    return run(folder), folder / "output"


def test_the_starter_loads_as_any_model_and_answers(trained):
    model = AutoModelForCausalLM.from_pretrained(trained[1], use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(trained[1])
    turns = [{"role": "user", "content": "How do I bake bread?"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|>How do I bake bread?<|assistant|>"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    answer = model.generate(ids, max_new_tokens=4, attention_mask=torch.ones_like(ids))
    assert answer.shape[1] > ids.shape[1]


def test_the_loss_falls(trained):
    losses = [event.metrics["loss"] for event in trained[0] if isinstance(event, StepDone)]
    assert len(losses) == TINY["steps"]
    assert losses[-1] < losses[0] - 0.3


def test_each_weight_is_moved_by_one_optimizer(trained):
    model = AutoModelForCausalLM.from_pretrained(trained[1], use_safetensors=True)
    muon, adamw = optimizers_of(model, 0.02)
    moved = [
        [id(one) for group in by.param_groups for one in group["params"]] for by in (muon, adamw)
    ]
    assert sorted(moved[0] + moved[1]) == sorted(id(weight) for weight in model.parameters())
    assert len(moved[0]) == 4  # of a block: attention's two, and two more


def test_the_loss_is_the_model_s_own_of_the_answers_tokens(trained):
    model = AutoModelForCausalLM.from_pretrained(trained[1], use_safetensors=True)
    batch = [Document([5, 6, 7, 8, 9], 2), Document([9, 8, 7], 1)]
    ids = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 0, 0]])
    labels = torch.tensor([[-100, -100, 7, 8, 9], [-100, 8, 7, -100, -100]])
    told = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    torch.testing.assert_close(_loss(model, batch), told)


def test_the_summary_says_what_was_trained(trained):
    assert isinstance(trained[0][-1], Finished)
    summary = trained[0][-1].summary
    assert summary["documents"] == 200
    assert summary["cached"] is False
    assert 1 < summary["perplexity_heldout"] < 400


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    run(tmp_path / "again")
    again = load_file(tmp_path / "again" / "output" / "model.safetensors")
    for name, weights in load_file(trained[1] / "model.safetensors").items():
        assert torch.equal(weights, again[name])


def test_a_known_starter_comes_from_the_cache(tmp_path):
    cache = str(tmp_path / "cache")
    first, second = (run(tmp_path / name, cache=cache) for name in ("one", "two"))
    assert first[-1].summary["cached"] is False
    assert second[-1].summary == {**first[-1].summary, "cached": True}
    assert not any(isinstance(event, StepDone) for event in second)
    weights = [
        (tmp_path / name / "output/model.safetensors").read_bytes() for name in ("one", "two")
    ]
    assert weights[0] == weights[1]


def test_a_damaged_cache_is_trained_again(tmp_path):
    cache = tmp_path / "cache"
    run(tmp_path / "one", cache=str(cache))
    (weights,) = cache.rglob("model.safetensors")
    weights.write_bytes(b"half a file")
    assert run(tmp_path / "two", cache=str(cache))[-1].summary["cached"] is False
    assert load_file(tmp_path / "two/output/model.safetensors")


def test_another_seed_is_another_starter(tmp_path):
    cache = str(tmp_path / "cache")
    run(tmp_path / "one", cache=cache)
    assert run(tmp_path / "two", seed=1, cache=cache)[-1].summary["cached"] is False


def test_the_tokenizer_reads_any_text_back():
    tokenizer = build_tokenizer(["How do I bake bread?"], 300)
    text = "Füße, 猫 & bread\n"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
