"""An alignment, which may look at the validation prompts while it learns."""

from pathlib import Path

from webapp.projects.models import Split
from webapp.runs import inputs
from webapp.runs.models import Run


def prepare(run: Run, folder: Path) -> inputs.Paths:
    """Models, prompts and labels, and the validation prompts where these are looked at; raises RunError."""
    paths, config = inputs.prepare(run, folder), inputs.config_of(run)
    if config.evaluate_every and config.evaluate_on == "own":
        count = config.evaluation_prompts
        paths |= inputs.write_evaluation(run, folder, Split.VALIDATION, count)
    return paths
