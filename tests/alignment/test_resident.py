"""The program that answers at once, asked through a socket as a worker asks it."""

import socket
import threading

import pytest

from alignment.models.policies import Policy
from alignment.sampling.engines import draw_records
from alignment.sampling.resident import Shelf, answer_requests
from alignment.sampling.sampling import Rollouts
from alignment.sampling.scoring import completion_token_logps
from alignment.sampling.warps import Warp
from alignment.seam import progress
from alignment.seam.live import CALLED_OFF, LiveReply, LiveRequest, receive_message, send_message
from alignment.seam.records import Message
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_prompt
from tests.words import WORDS

torch = pytest.importorskip("torch")


class Models:
    """Tiny models by the names of folders, and which were loaded; loading may be kept waiting."""

    def __init__(self):
        self.loaded, self.may_go_on = [], threading.Event()
        self.may_go_on.set()

    def load(self, folder) -> Policy:
        self.may_go_on.wait()
        self.loaded.append(folder.name)
        return tiny_policy(seed=ord(folder.name))


@pytest.fixture
def models():
    return Models()


@pytest.fixture
def ours(models):
    """Our end of what joins us and the program."""
    ours, its = socket.socketpair()
    arguments = its, 60.0, Shelf(models.load)
    program = threading.Thread(target=answer_requests, args=arguments)
    program.start()
    with ours:
        yield ours
    program.join(30)
    assert not program.is_alive()
    its.close()


def ask(ours, *models, number=1, prompt=WORDS[0], **settings):
    request = LiveRequest(
        **{"id": number, "models": models, "prompt": a_prompt(prompt), "seed": 5}
        | {"max_new_tokens": 4, "temperature": 1.0}
        | settings
    )
    send_message(ours, request.model_dump_json().encode())


def told(ours):
    return LiveReply.model_validate_json(receive_message(ours))


def answers(ours, *models, **settings):
    ask(ours, *models, **settings)
    reply = told(ours)
    assert not reply.error
    return reply.answers


def scored(policy, answer):
    """The log-probability of an answer, read at once."""
    ids, text = policy.answered((Message(role="user", content=WORDS[0]),), answer.text)
    tokens = torch.tensor([text[: answer.tokens]])
    mask = torch.ones_like(tokens, dtype=torch.bool)
    nothing = torch.zeros(tokens.shape)
    cut = torch.tensor([answer.truncated])
    return float(
        completion_token_logps(policy.model, Rollouts((tuple(ids),), tokens, mask, nothing, cut))
        .sum()
        .detach()
    )


def test_one_model_gives_two_answers_with_the_log_probabilities_they_were_drawn_at(ours):
    pair = answers(ours, "a", "a")
    assert pair[0].text.strip() != pair[1].text.strip()
    assert pair == answers(ours, "a", "a")
    assert pair != answers(ours, "a", "a", seed=6)
    for answer in pair:
        assert answer.logps == pytest.approx(scored(tiny_policy(seed=ord("a")), answer), abs=1e-4)


def test_two_models_answer_in_the_order_that_is_asked(ours):
    generator = torch.Generator().manual_seed(5)
    settings = {"max_new_tokens": 4, "warp": Warp(), "generator": generator}
    expected = [
        draw_records(tiny_policy(seed=ord(name)), [a_prompt(WORDS[0])], completions=1, **settings)
        for name in "ab"
    ]
    assert [[[one]] for one in answers(ours, "a", "b")] == expected


def test_the_models_that_were_asked_last_stay_in_memory(ours, models):
    for name in "abacb":
        answers(ours, name)
    assert models.loaded == ["a", "b", "c", "b"]


def test_what_cannot_be_answered_is_told_in_words_and_the_next_is_answered(ours):
    ask(ours, "a", prompt=" ".join(WORDS * 20))
    assert "Shorten the prompt" in told(ours).error
    assert len(answers(ours, "a")) == 1


def test_what_nobody_waits_for_any_more_is_left(ours, models, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    models.may_go_on.clear()
    ask(ours, "a")
    send_message(ours, CALLED_OFF)
    models.may_go_on.set()
    assert told(ours).error == "called off"
    assert len(answers(ours, "a", number=2)) == 1


def test_it_ends_when_nobody_asks_or_says_what_is_no_message():
    ours, its = socket.socketpair()
    with ours, its:
        answer_requests(its, 0.0, Shelf())
        ours.sendall(b"\xff" * 8)
        answer_requests(its, 60.0, Shelf())
