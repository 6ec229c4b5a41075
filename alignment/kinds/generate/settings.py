"""Settings of runs that answer prompts."""

from typing import Literal

from pydantic import model_validator

from alignment.kinds.settings.overlong import OverlongName, overlong
from alignment.seam.settings import ConflictError, Settings, setting

EngineName = Literal["sampler", "vllm", "server"]
SERVED = {"engine": ("server",)}
OURS = {"engine": ("sampler", "vllm")}  # whose tokenizer is here


class GenerateConfig(Settings):
    """Completions of a policy for prompts; in the dashboard they become compare tasks."""

    prompts: int = setting(
        256,
        "Prompts",
        help="How many prompts to answer.",
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
    engine: EngineName = setting(
        "sampler",
        "Engine",
        help="Who draws the completions: our sampler, vLLM where it is installed, or a server that "
        "speaks OpenAI's protocol, with a model of its own.",
        topic="New tasks",
        advanced=True,
    )
    overlong: OverlongName = overlong("New tasks", OURS)
    server_url: str = setting(
        "",
        "Address of the server",
        help="With its path, as in https://host:8000/v1; an admin allows hosts.",
        topic="New tasks",
        max_length=500,
        advanced=True,
        when=SERVED,
    )
    server_model: str = setting(
        "",
        "Model of the server",
        help="How the server calls it.",
        topic="New tasks",
        max_length=200,
        advanced=True,
        when=SERVED,
    )

    @model_validator(mode="after")
    def _a_server_has_an_address(self) -> "GenerateConfig":
        for name in ("server_url", "server_model"):
            if self.engine == "server" and not getattr(self, name).strip():
                raise ConflictError(name, "a server needs an address and the name of a model")
        return self
