"""Texts to render: real ones, where they are there, and made-up ones of every marker."""

import json
from pathlib import Path
from random import Random

DATA = Path(__file__).parents[4] / "shared" / "data"
MISSING = "real answers: ../shared/data is not there"
WORDS = [
    "a", "word", "Apollo", "__init__", "snake_case", "x*y", "a*b*c", "*.py", "**/*.js", "C:\\_x", "2*3*4", "$5",
    "$HOME", "1969.", "3)", "שלום", "世界", "&lt;b&gt;", "<b>", "</p>", "<!-- c -->", "#tag", "C#", "e.g.", "[1]",
    "[1]:", "![i](https://e.org/i)", "[t](https://e.org/a_b)", "[t](http://e.org)", "<https://e.org>", "https://e.org/_a_",
    "\\(x\\)", "\\[y^2\\]", "$x_1$", "$$a+b$$", "\\*", "\\", "`code  x`", "``a`b``", "`", "**bold**", "*em*", "***both***",
    "~~gone~~", "~~", "~", "*", "**", "_", "__", "|", "a|b", "---", ":-:", "===", "100%", "\u00a0", "é", "😀", "!", "(", ")",
]  # fmt: skip
STARTS = [
    "", "", "", "", "# ", "## ", "#", "> ", "> > ", ">", "- ", "* ", "+ ", "  - ", "    ", "\t", "   ", "1. ", "2. ", "7) ",
    "1969. ", "01. ", "   3. ", "```", "```python", "~~~", "| ", "|-|-|", "| a | b |", "---", "***", "- - -", "===", "$$",
    "\\[", "\\]",
]  # fmt: skip
GAPS = [" ", " ", " ", " ", "  ", "", "\t", "   "]
ENDS = ["\n", "\n", "\n\n", "\n\n\n", "  \n", "\\\n", "\r\n", " \n"]


def made_up(seed: int) -> str:
    """A text of markers, words and white space; the same for the same seed."""
    chance = Random(seed)
    lines = []
    for _ in range(chance.randint(1, 8)):
        words = [chance.choice(WORDS) + chance.choice(GAPS) for _ in range(chance.randint(0, 6))]
        lines.append(chance.choice(STARTS) + "".join(words) + chance.choice(ENDS))
    return "".join(lines)


def real() -> list[str]:
    """Every prompt and answer of the data, once."""
    found: set[str] = set()
    trees = (DATA / "oasst_en_100_tree.jsonl").read_text().splitlines()
    for line in trees:
        found.update(_of_tree(json.loads(line)["prompt"]))
    found.update(map(json.loads, (DATA / "oasst_prompts_en_250.jsonl").read_text().splitlines()))
    for path in DATA.glob("oasst_samples_pythia_*.json"):
        for prompt in json.loads(path.read_text())["prompts"]:
            found.update(text for drawn in prompt["results"] for text in drawn["outputs"])
    return sorted(found)


def _of_tree(message: dict) -> list[str]:
    return [message["text"], *(text for reply in message["replies"] for text in _of_tree(reply))]
