"""Sampling reports of Open-Assistant: the answers of one model to each prompt, by sampling settings.

Consumer: `oasst_samples_*.json`. Recognised by `prompt` and `results` with `outputs`. Loses: the
arguments of the program and the numbers of each sampling; their name and the model's are kept.
"""

from typing import Any

from alignment.rows import answers, prompts
from alignment.rows.descriptor import Format, with_columns
from alignment.rows.found import BadRow, Found, ImportedAnswer, ImportedPrompt
from alignment.rows.texts import asked
from alignment.seam.words import _


def fits(row: object) -> bool:
    """Whether it holds a prompt and what came of it."""
    results = row.get("results") if isinstance(row, dict) else None
    return isinstance(results, list) and bool(prompts.asking(row)) and all(map(_is_result, results))


def _is_result(result: object) -> bool:
    return isinstance(result, dict) and isinstance(result.get("outputs"), list)


def read(row: Any, found: Found) -> set[str]:  # noqa: ANN401 - whatever the row holds
    """Add a prompt with the answers of all samplings; the columns that were used."""
    if not fits(row):
        raise BadRow(_("no “prompt” with “results” and their “outputs” in it"))
    turns, used = prompts.turns_of(row, found)
    made: list[ImportedAnswer] = []
    for result in row["results"]:
        about = {"model": row.get("model_name"), "sampling": result.get("sampling_config")}
        found.unused.update(f"results[].{name}" for name in result.keys() - {*READ})
        for output in result["outputs"]:
            _add(made, output, about, found)
    found.prompts.append(ImportedPrompt(asked(turns), tuple(made)))
    return used | {"results", *({"model_name"} & row.keys())}


READ = ("outputs", "sampling_config")


def _add(made: list[ImportedAnswer], output: object, about: dict[str, Any], found: Found) -> None:
    try:
        made.append(answers.answer_of(output, (), "outputs", found, about))
    except BadRow as error:
        found.bad.append(str(error))


FORMAT = Format(
    title=_("Sampling reports"),
    help=_("prompt and results with outputs, as Open-Assistant's."),
    loses=_(
        "arguments of the program and numbers of each sampling; their name and the model's are kept."
    ),
    fits=fits,
    read=read,
    may=with_columns({"results"}),
)
