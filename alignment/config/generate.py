"""Settings of runs that answer prompts."""

from alignment.config.fields import Settings, setting


class GenerateConfig(Settings):
    """Completions of a policy for the project's prompts, queued as compare tasks."""

    prompts: int = setting(
        256,
        "Prompts",
        help="How many of the project's prompts to answer.",
        topic="New tasks",
        unit="prompts",
        ge=1,
        le=100_000,
    )
    completions_per_prompt: int = setting(
        2,
        "Completions per prompt",
        help="Each prompt's completions are paired into compare tasks.",
        topic="New tasks",
        unit="completions",
        ge=2,
        le=64,
    )
    labels_per_task: int = setting(
        1,
        "Labels per task",
        help="How many different annotators answer each task.",
        topic="New tasks",
        unit="labels",
        ge=1,
        le=9,
        dashboard=True,
    )
    max_new_tokens: int = setting(
        48,
        "Completion length limit",
        help="A completion that reaches the limit is cut there.",
        topic="New tasks",
        unit="tokens",
        ge=1,
        le=4096,
    )
    temperature: float = setting(
        1.0,
        "Temperature",
        help="Below 1 the model repeats its favourites; above 1 it wanders.",
        topic="New tasks",
        ge=0.1,
        le=2.0,
        advanced=True,
    )
