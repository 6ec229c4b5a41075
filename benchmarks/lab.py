"""What the lab's methods cost and save: `python -m benchmarks.lab [--model FOLDER] [--only METHOD …]`.

Each method is a run as anybody starts it, on the starter model or on a folder; all are compared with their original on
the same held-out prompts. The starter's answers are judged by the simulated utility. One JSON object is printed: for
each method what it reports, and which bars it meets.
"""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignment.kinds.spec import RunSpec
from alignment.lab.sizes import WAYS
from alignment.seam.events import Finished
from alignment.seam.records import PromptRecord, write_jsonl
from alignment.trainer import drive
from alignment.world.grammar import prompts as grammar_prompts
from benchmarks.editing import QUESTIONS as MORE
from benchmarks.scenes import SIZES, asked, natural
from benchmarks.students import COMPARED, Bench

FITTED = 128  # prompts at most, of methods that fit many numbers
METHODS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "int8 symmetric": ("quantise", {"scheme": "symmetric"}),
    "int8 asymmetric": ("quantise", {"scheme": "asymmetric"}),
    "int8 with embeddings": ("quantise", {"embeddings": True}),
    "factorised to 0.6": ("factorise", {"share": 0.6, "prompts": FITTED}),
}
TOLD = (
    "kl_token", "kl_sequence", "perplexity_change", "divergence_change", "win_rate", "greedy_same", "speedup",
    "bytes_ratio", "layer_bytes_ratio", "memory_before", "memory_after", "mismatch", "kept_for_perplexity",
    "parameters_ratio", "fitted_better", "sizes",
)  # fmt: skip
SMALL, PERPLEXITY, HALF_WIDTH, FASTER = 0.26, 0.01, 0.02, 1.3  # bars
TRAINING = 16  # prompts, as many as measure
QUESTIONS = (
    "What is the capital of France?", "Explain how rainbows form.", "Give three tips for better sleep.",
    "How do I make an omelette?", "What is photosynthesis?", "Who wrote Pride and Prejudice?",
    "What are the primary colours?", "How does a bicycle stay upright?", "Name four planets.",
    "Why is the sky blue?", "What is a prime number?", "How do vaccines work?", "What is the largest ocean?",
    "What does a lawyer do?", "How do you change a tyre?", "What causes earthquakes?", "What is inflation?",
    "What is the boiling point of water?", "How can I learn the guitar?", "Give an example of a metaphor.",
    "How many continents are there?", "What is DNA?", "Suggest a name for a coffee shop.", "What is a noun?",
    "Describe a typical day of a farmer.", "Explain gravity to a child.", "List some healthy breakfasts.",
    "What is machine learning?", "Write a polite email asking for a refund.", "What is a haiku?",
    "Translate good morning to Spanish.", "Tell me a joke about cats.",
)  # fmt: skip


def arguments() -> Namespace:
    """What the command line says."""
    parser = ArgumentParser(prog="python -m benchmarks lab", description=__doc__)
    parser.add_argument("--model", type=Path, help="a model's folder; else the starter is trained")
    names = [*METHODS, *COMPARED]
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--held-out", type=int, default=64, help="prompts")
    parser.add_argument("--completions", type=int, default=4, help="of each prompt")
    return parser.parse_args()


def report(options: Namespace, folder: Path) -> dict[str, Any]:
    """Every method's figures, by its name."""
    if options.model is None:
        scene = natural(SIZES["4x128"], folder / "starter")
        model, prompts, judge = scene.model, scene.prompts, "utility"
        more = [asked(row[-1].content) for row in grammar_prompts(seed=4, count=FITTED)]
    else:
        model, prompts, judge = options.model, [asked(text) for text in QUESTIONS], "none"
        more = [asked(text) for text in MORE]
    found = {}
    for name in options.only:
        if name in COMPARED:
            bench = Bench(model, [*prompts[:TRAINING], *more], prompts[TRAINING:], folder / name)
            found[name] = COMPARED[name](bench)
            continue
        kind, settings = METHODS[name]
        sizes = {
            "held_out_prompts": options.held_out,
            "completions_per_prompt": options.completions,
        }
        told = {"prompts": TRAINING} | settings | sizes | {"judge": judge, "max_new_tokens": 32}
        training = [*prompts[:TRAINING], *more]
        found[name] = measured(kind, told, model, (training, prompts[TRAINING:]), folder / name)
    return {"model": str(options.model or "starter"), "methods": found}


def measured(
    kind: str,
    settings: Mapping[str, Any],
    model: Path,
    prompts: tuple[Sequence[PromptRecord], Sequence[PromptRecord]],
    folder: Path,
) -> dict[str, Any]:
    """What a run reports, and which bars it meets."""
    folder.mkdir()
    for name, rows in zip(("prompts", "held_out"), prompts, strict=True):
        write_jsonl(folder / f"{name}.jsonl", rows)
    inputs = {
        "policy": str(model.resolve()),
        "prompts": "prompts.jsonl",
        "held_out": "held_out.jsonl",
    }
    spec = RunSpec(kind=kind, run=0, epoch=0, config=dict(settings), inputs=inputs)
    *_events, last = drive(spec, folder)
    assert isinstance(last, Finished)
    summary: Mapping[str, Any] = last.summary
    told = {name: summary[name] for name in TOLD if summary.get(name) is not None}
    return {**told, "bars": BARS[kind](summary)}


def bars_of(summary: Mapping[str, Any]) -> dict[str, bool]:
    """Which bars of eight bits a summary meets; a win rate's where somebody judged."""
    found = {
        "layers at most 0.26 of their bytes": summary.get("layer_bytes_ratio", 1.0) <= SMALL,
        "perplexity within 1 %": abs(summary["perplexity_change"]["value"]) <= PERPLEXITY,
        "a forward at least 1.3 times as fast": summary["speedup"]["value"] >= FASTER,
    }
    if rate := summary.get("win_rate"):
        off, half = abs(rate["value"] - 0.5), (rate["high"] - rate["low"]) / 2
        even = rate["low"] <= 0.5 <= rate["high"] and half <= HALF_WIDTH
        found["win rate within 1 %, or even within 2 %"] = off <= PERPLEXITY or even
    return found


def bars_of_factors(summary: Mapping[str, Any]) -> dict[str, bool]:
    """Which bars of factors a summary meets, at every budget that it tried."""
    shares = sorted({row["share"] for row in summary["sizes"]})
    ways = {(row["share"], row["way"]): row for row in summary["sizes"]}
    fitted, start, equal, plain = (WAYS[way] for way in ("fitted", "start", "equal", "plain"))

    def better(name: str, one: str, other: str, some: Sequence[float]) -> bool:
        return all(ways[share, one][name] < ways[share, other][name] for share in some)

    return {
        "perplexity below plain SVD's at 0.6": better("perplexity_change", fitted, plain, [0.6]),
        "fitted better than the start at each budget": better("kl_token", fitted, start, shares),
        "by worth better than equal shares": better("kl_token", fitted, equal, shares),
    }


BARS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, bool]]] = {
    "quantise": bars_of,
    "factorise": bars_of_factors,
}


if __name__ == "__main__":
    with TemporaryDirectory() as name:
        print(json.dumps(report(arguments(), Path(name)), indent=1))
