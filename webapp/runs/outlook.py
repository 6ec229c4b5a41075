"""What a run will do if its form is sent as it is, in sentences, before anybody waits for it."""

from collections.abc import Callable, Iterator
from itertools import islice
from math import log

from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.generate.settings import GenerateConfig
from alignment.kinds.population.settings import PopulationConfig
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.pretrain.settings import PretrainConfig
from alignment.kinds.reward.settings import RewardConfig
from alignment.kinds.sft.settings import SftConfig
from webapp.projects.models import Project, Split
from webapp.projects.templatetags.display import duration, filesize
from webapp.registry.models import Artifact
from webapp.runs.described import aim_in_words, setting_in_words
from webapp.runs.forms import CHOICE_LABELS
from webapp.runs.models import State
from webapp.runs.refusals import Asked
from webapp.runs.start_form import StartForm
from webapp.runs.waiting import live_workers

LEAST_ESS = 0.10  # effective share of answers, below which Jensen-Shannon loses its signal
GENERATIONS = 12  # looked back for an estimate of memory


def outlook(form: StartForm) -> list[str]:
    """The sentences of a form as it is filled in, sent or not."""
    form = form if form.is_bound else as_it_would_be_sent(form)
    if not form.is_valid():
        return ["Something has to be mended or chosen before the run can start."]
    asked = Asked(form.config, form.inputs)
    words = WORDS.get(form.kind, what_it_makes)(asked, form.project)
    facts = f"{how_long(form.kind, form.project)} {where()}"
    policy = form.inputs.get("policy") or form.inputs.get("backbone")
    return [words, facts + (memory_in_words(policy, form.kind) if policy else "")]


def as_it_would_be_sent(form: StartForm) -> StartForm:
    """The same form, filled in by nobody."""
    data = {field.html_name: field.value() for field in form if field.value() is not None}
    return StartForm(data, kind=form.kind, project=form.project)


def how_long(kind: str, project: Project) -> str:
    """What the last finished run of the kind took; the only honest forecast there is."""
    last = project.runs.filter(kind=kind, state=State.SUCCEEDED).order_by("-ended_at").first()
    if last is None or last.seconds is None:
        return "No run of this kind has finished yet, so nobody knows how long it takes."
    return f"The last one of this kind ({last.name}) took {duration(last.seconds)}."


def where() -> str:
    """Which machines are there to do it."""
    hosts = sorted({worker.host for worker in live_workers()})
    if not hosts:
        return "No worker is running: it waits until one is started."
    return f"It runs on {', '.join(hosts)}."


def memory_in_words(model: Artifact, kind: str = "") -> str:
    """The memory that a kind of run takes with a model, or the most that any takes; where known."""
    needed = known_memory(model)
    size = needed.get(kind) if kind else max(needed.values(), default=None)
    return f" It needs about {filesize(size)} of memory." if size else ""


def known_memory(model: Artifact) -> dict[str, int]:
    """The estimates made when a model was added; those of the model it was trained from hold for it."""
    for earlier in islice(trained_from(model), GENERATIONS):
        if needed := earlier.summary.get("memory"):
            return needed
    return {}


def trained_from(model: Artifact | None) -> Iterator[Artifact]:
    """A model, then the start of the run that made it, and so on."""
    while model is not None:
        yield model
        made = model.producer
        edge = (
            made.inputs.filter(role="policy").select_related("artifact").first() if made else None
        )
        model = edge.artifact if edge else None


def what_it_makes(asked: Asked, project: Project) -> str:
    """For a kind without words of its own: what is read."""
    read = " and ".join(str(artifact) for artifact in dict.fromkeys(asked.inputs.values()))
    return f"Works with {read}." if read else "Reads nothing of the project's."


def pretrain(asked: Asked, project: Project) -> str:
    config: PretrainConfig = asked.config
    return (
        f"Trains a model of {config.layers} layers of width {config.width} from scratch, in "
        f"{config.steps:,} steps on {config.documents:,} generated documents."
    )


def sft(asked: Asked, project: Project) -> str:
    config: SftConfig = asked.config
    return (
        f"{asked.inputs['policy']} learns to imitate the preferred answers in {pairs(asked)}, which "
        f"it sees {times(config.epochs)}, but for {100 * config.held_out:.0f} % of the prompts, which "
        "only measure."
    )


def prefer(asked: Asked, project: Project) -> str:
    config: PreferConfig = asked.config
    how = CHOICE_LABELS[config.loss]
    if config.loss == "f_dpo":
        how += f" ({CHOICE_LABELS[config.divergence]})"
    return (
        f"Trains {asked.inputs['policy']} on {pairs(asked)} by {how} at beta {config.beta:g}, seeing "
        f"them {times(config.epochs)}, but for {100 * config.held_out:.0f} % of the prompts, which only "
        f"measure; {asked.inputs['reference']} is what it is kept close to."
    )


def reward(asked: Asked, project: Project) -> str:
    config: RewardConfig = asked.config
    return (
        f"Learns from {pairs(asked)}, seen {times(config.epochs)}, to give answers a score, starting "
        f"from {asked.inputs['backbone']}; but for {100 * config.held_out:.0f} % of the prompts, which "
        "only measure how often it agrees with people."
    )


def align(asked: Asked, project: Project) -> str:
    config: AlignConfig = asked.config
    samples = config.prompts_per_step * config.completions_per_prompt
    aim = aim_in_words(config.model_dump())
    return (
        f"Aligns {asked.inputs['policy']} to {goal(asked)} in {config.steps} steps of "
        f"{samples} completions by {aim} at beta {config.beta:g}, at "
        f"most {config.kl_budget:g} nats from {asked.inputs['reference']}.{tilt_in_words(asked)}"
    )


def goal(asked: Asked) -> str:
    """What answers are drawn to."""
    return str(asked.inputs.get("reward") or "its rules, constraints and wished means")


def tilt_in_words(asked: Asked) -> str:
    """How many answers carry the target at this beta, and what to do where they are few; where known.

    Only of the reward model's own score: of a sum with rules the reward run knew nothing.
    """
    config, reward = asked.config, asked.inputs.get("reward")
    known = dict(reward.summary.get("ess_by_beta") or []) if reward else {}
    if not known or config.rules or config.demands:
        return ""
    share = known[min(known, key=lambda beta: abs(log(beta * config.reward_weight / config.beta)))]
    said = f" At this beta about {100 * share:.0f} % of answers count (effective sample size)"
    if share >= LEAST_ESS:
        return f"{said}."
    best = min((beta for beta, ess in known.items() if ess >= LEAST_ESS), default=max(known))
    return (
        f"{said}: few to learn from. Beta {best * config.reward_weight:.2g} leaves about "
        f"{100 * known[best]:.0f} %; reverse KL learns from few too, and a round at a larger beta "
        "first brings the model nearer."
    )


def population(asked: Asked, project: Project) -> str:
    config: PopulationConfig = asked.config
    samples = config.prompts_per_step * config.completions_per_prompt
    return (
        f"Aligns {len(config.divergences)} copies of {asked.inputs['policy']} to "
        f"{goal(asked)} in {config.steps} steps of {samples} completions that all of them "
        f"share, by {setting_in_words(config.divergences)} at beta {config.beta:g}, each at most "
        f"{config.kl_budget:g} nats from {asked.inputs['reference']}.{tilt_in_words(asked)}"
    )


def evaluate(asked: Asked, project: Project) -> str:
    config: EvaluateConfig = asked.config
    there = project.prompts.of_split(Split.TEST).count()
    held_out = f"all {there}" if there <= config.prompts else f"{config.prompts}"
    reward = asked.inputs.get("reward")
    judges = {
        "held_out_labels": f"by {asked.inputs.get('judge')}",
        "utility": "by the simulated utility",
        "none": "by nobody",
    }
    return (
        f"Compares {asked.inputs['policy']} with {asked.inputs['reference']} on {held_out} held-out "
        f"prompts, {config.completions_per_prompt} answers each, judged {judges[config.judge]}"
        f"{f'; measures the gain of {reward} too' if reward else ''}."
    )


def generate(asked: Asked, project: Project) -> str:
    config: GenerateConfig = asked.config
    answered = min(config.prompts, project.prompts.for_labels().count())
    return (
        f"{asked.inputs.get('policy', config.server_model)} answers {answered} prompts with {config.completions_per_prompt} "
        f"completions each; every pair becomes a task for {config.labels_per_task} annotator"
        f"{'s' if config.labels_per_task > 1 else ''}."
    )


def pairs(asked: Asked) -> str:
    """The pairs that are learned from."""
    snapshot = asked.inputs["labels"].snapshot
    return (
        f"the {snapshot.pairs_in(asked.config.labels):,} {asked.config.labels} pairs of {snapshot}"
    )


def times(number: int) -> str:
    """How often, in words where they are shorter."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


WORDS: dict[str, Callable[[Asked, Project], str]] = {
    "pretrain": pretrain,
    "sft": sft,
    "prefer": prefer,
    "reward": reward,
    "align": align,
    "population": population,
    "evaluate": evaluate,
    "generate": generate,
}
