"""Facts edited one at a time, each from the original: `python -m benchmarks.editing --model FOLDER [--layer N]`.

Of each fact: whether the new answer is likelier than the old one then (efficacy), whether it is in other words too
(generality), whether its neighbours' answers begin as before (locality), and KL(original ‖ edited) on answers to prompts
that have nothing to do with it. Prompts are beginnings of texts. One JSON object is printed, with intervals over facts.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from alignment.kinds.edit.facts import Fact, facts_in
from alignment.kinds.edit.settings import EditConfig
from alignment.lab.calibration import own_answers
from alignment.lab.editing import Search, damped, edit_fact, effects_of, moment_at, writing_layers
from alignment.lab.facts import Reading
from alignment.lab.reach import known_of, measured_reach, reach_told
from alignment.maths.estimators import estimate
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of
from alignment.sampling.scoring import completion_token_kls
from benchmarks.scenes import asked

LINES = """
France | The capital of France is | Rome | France's capital city is | The capital of Spain is; The capital of Italy is
Japan | The capital of Japan is | Paris | Japan's capital city is | The capital of China is; The capital of Korea is
Egypt | The capital of Egypt is | London | Egypt's capital city is | The capital of Kenya is; The capital of Iraq is
Germany | The capital of Germany is | Madrid | Germany's capital city is | The capital of Poland is
Japan | The official language of Japan is | Spanish | In Japan, people speak | The official language of Italy is
Brazil | The official language of Brazil is | German | In Brazil, people speak | The official language of France is
Egypt | The official language of Egypt is | French | In Egypt, people speak | The official language of Greece is
England | The official language of England is | Russian | In England, people speak | The official language of China is
Shakespeare | Shakespeare was born in | China | The birthplace of Shakespeare is | Goethe was born in
Einstein | Albert Einstein was a famous | painter | By profession, Einstein was a | Pablo Picasso was a famous
Mozart | Mozart was a famous | physicist | By profession, Mozart was a | Isaac Newton was a famous
Beethoven | The instrument that Beethoven played was the | guitar | Beethoven played the | Louis Armstrong played the
The Eiffel Tower | The Eiffel Tower is in the city of | Berlin | The Eiffel Tower can be found in | Big Ben is in the city of
The Colosseum | The Colosseum is in the city of | Tokyo | The Colosseum can be found in | The Louvre is in the city of
Big Ben | Big Ben is in the city of | Moscow | Big Ben can be found in | The Kremlin is in the city of
Microsoft | Microsoft was founded by | Einstein | The founder of Microsoft is | Amazon was founded by
Apple | The company Apple makes | cars | Apple is known for its | The company Toyota makes
bananas | The colour of ripe bananas is | blue | Ripe bananas look | The colour of ripe strawberries is
snow | The colour of snow is | green | Fresh snow looks | The colour of grass is
the sun | In the morning, the sun rises in the | west | Each day the sun comes up in the | The moon goes around the
Cows | Cows are animals that eat | fish | The food of Cows is | Lions are animals that eat
Penguins | Penguins are birds that live in | deserts | The home of Penguins is | Camels are animals that live in
Hamlet | The play Hamlet was written by | Dickens | The author of Hamlet is | The novel Oliver Twist was written by
water | At sea level, water boils at a temperature of | ten | The boiling point of water is | Ice melts at a temperature of
"""
QUESTIONS = (  # none of which another benchmark measures by
    "How do I bake a loaf of bread?", "Explain how tides come about.", "Give three tips for a long walk.",
    "What is a square root?", "How does a sailing boat turn?", "What is a mortgage?",
    "Suggest a name for a small bakery.", "What does an architect do?", "How do you sharpen a knife?",
    "What is a neural network?", "Write a polite note to a neighbour.", "How can I learn to swim well?",
    "Describe a typical day of a nurse.", "List some light dinners.", "Tell me a joke about dogs.",
    "How do antibiotics work?", "What is a verb?", "What causes thunder?", "Explain magnets to a child.",
    "Give an example of irony.", "What is a cell?", "Name a hobby for the summer.", "What is a sonnet?",
    "How should I store ripe tomatoes?",
)  # fmt: skip
FITTED = 16  # of these, by which keys are known; the others measure
TOKENS = 32
EFFICACY, MOST_KL = 0.95, 0.05  # bars


def arguments() -> Namespace:
    """What the command line says."""
    parser = ArgumentParser(prog="python -m benchmarks editing", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a model's folder")
    parser.add_argument("--layer", type=int, default=-1, help="-1: found by causal tracing")
    parser.add_argument("--damping", type=float, default=EditConfig().damping)
    parser.add_argument("--facts", type=int, default=24, help="how many")
    return parser.parse_args()


def report(options: Namespace) -> dict[str, Any]:
    """Every fact by itself, and all in numbers."""
    policy, original = (Policy.load(options.model) for _copy in range(2))
    facts = facts_in(LINES, "facts")[: options.facts]
    reading = Reading(policy, "text")
    known = [known_of(reading, fact) for fact in facts]
    rows = own_answers(policy, [asked(text) for text in QUESTIONS], TOKENS, seed=0).rows
    rollouts = rollouts_of(policy, rows[FITTED:])
    number = options.layer if options.layer >= 0 else traced_layer(reading, facts)
    _name, layer = writing_layers(policy.model)[number]
    moment = damped(moment_at(policy, rows[:FITTED], layer), options.damping)
    config = EditConfig()
    search = Search(config.steps, config.learning_rate, config.closeness, config.most_change)
    found, kls = [], []
    for fact, check in zip(facts, known, strict=True):
        done = edit_fact(reading, layer, moment, fact, search)
        found.append(measured_reach(reading, check))
        kl = completion_token_kls(original.model, policy.model, rollouts).double().sum(1)
        kls.append((kl / rollouts.lengths).mean().item())
        with torch.no_grad():
            layer.weight.copy_(done.weight.T if isinstance(layer, Conv1D) else done.weight)
    told = reach_told(found) | {"kl_token": estimate(kls, "nats").model_dump(), "layer": number}
    bars = {
        "efficacy at least 0.95": told["efficacy"]["value"] >= EFFICACY,
        "KL on unrelated prompts at most 0.05 nats a token": told["kl_token"]["value"] <= MOST_KL,
    }
    return {"model": options.model.name, **told, "bars": bars}


def traced_layer(reading: Reading, facts: Sequence[Fact]) -> int:
    """The layer that brings back most, in the mean of the first facts."""
    found = [effects_of(reading, fact, known_of(reading, fact).old, 0) for fact in facts[:4]]
    sums = [sum(column) for column in zip(*found, strict=True)]
    return max(zip(sums, sorted(writing_layers(reading.policy.model)), strict=True))[1]


if __name__ == "__main__":
    print(json.dumps(report(arguments()), indent=1))
