"""What the engine reads of its environment, and how a variable that cannot be used is told, in any program.

An empty variable counts as unset. `webapp/variables.py` adds what the dashboard reads.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from alignment.seam.errors import ConfigError
from alignment.seam.modelfiles import printable

# A host with its port; http:// before it lets the key go to it in clear text.
SERVER = re.compile(r"(https?://)?([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.IGNORECASE)
BOUNDS = {"ge": "from", "le": "to"}
KINDS: dict[object, str] = {bool: "0 or 1", int: "a whole number", float: "a number"}
TRACKERS = ("mlflow", "wandb")  # what runs can be told to
LONGEST = 60  # letters of a wrong value that are shown

Read = TypeVar("Read", bound="EngineVariables")


def variable(
    name: str,
    default: object,
    *,
    within: tuple[float | None, float | None] = (None, None),
    shown: str = "",
    takes: str = "",
    secret: bool = False,
) -> Any:  # noqa: ANN401 - as pydantic's Field
    """A field that is read from this variable, and how its default and what it takes are written.

    The value of one that is secret is never shown.
    """
    words: JsonDict = {"shown": shown or f"{default:g}", "takes": takes, "secret": secret}
    least, most = within
    return Field(default, validation_alias=name, json_schema_extra=words, ge=least, le=most)


def split_list(value: object) -> object:
    """The parts of a list that is separated by commas."""
    if not isinstance(value, str):
        return value
    return tuple(filter(None, (part.strip() for part in value.split(","))))


def _servers(listed: tuple[str, ...]) -> tuple[str, ...]:
    for entry in listed:
        if not SERVER.fullmatch(entry):
            raise ValueError(f"names “{printable(entry)}”, which is no server")
    return tuple(entry.lower() for entry in listed)


def _trackers(listed: tuple[str, ...]) -> tuple[str, ...]:
    for entry in listed:
        if entry not in TRACKERS:
            raise ValueError(f"names “{printable(entry)}”, which no runs are told to")
    return tuple(dict.fromkeys(listed))


def _key(value: str) -> str:
    if not re.fullmatch(r"[!-~]*", value):
        raise ValueError("holds what no HTTP header can")
    return value


List = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_list)]
Servers = Annotated[List, AfterValidator(_servers)]
Key = Annotated[str, AfterValidator(_key)]


class EngineVariables(BaseSettings):
    """The variables that trainers and commands of the engine read."""

    model_config = SettingsConfigDict(case_sensitive=True, frozen=True, validate_default=True)

    nice: int = variable("ATTUNE_NICE", 10, within=(0, 19))
    sharding: Literal["fsdp"] | None = variable("ATTUNE_SHARDING", None, shown="none", takes="fsdp")
    device_mib: int = variable("ATTUNE_DEVICE_MIB", 0, within=(0, 1 << 24))
    hub: bool = variable("ATTUNE_HUB", default=True)
    trackers: Annotated[List, AfterValidator(_trackers)] = variable(
        "ATTUNE_TRACKERS", (), shown="none", takes="mlflow, wandb, by commas"
    )
    generation_servers: Servers = variable(
        "ATTUNE_GENERATION_SERVERS",
        (),
        shown="none",
        takes="host:port or http://host:port, by commas",
    )
    generation_key: Key = variable(
        "ATTUNE_GENERATION_KEY", "", shown="none", takes="visible signs of ASCII", secret=True
    )

    @model_validator(mode="before")
    @classmethod
    def _set(cls, found: dict[str, str]) -> dict[str, str]:
        """What is set: nothing but spaces is not."""
        stripped = {name: value.strip() for name, value in found.items()}
        return {name: value for name, value in stripped.items() if value}


def read(model: type[Read]) -> Read:
    """The variables as they are now; raises ConfigError with a sentence for each that is wrong, a line each."""
    try:
        return model()
    except ValidationError as error:
        raise ConfigError("\n".join(_sentences(model, error))) from None


def fields(model: type[EngineVariables]) -> dict[str, FieldInfo]:
    """The fields of a model by the names of their variables."""
    return {str(field.validation_alias): field for field in model.model_fields.values()}


def takes(field: FieldInfo) -> str:
    """What a variable takes, in words."""
    assert isinstance(field.json_schema_extra, dict)
    bounds = [
        f"{words} {getattr(rule, kind):,}"
        for kind, words in BOUNDS.items()
        for rule in field.metadata
        if hasattr(rule, kind)
    ]
    words = field.json_schema_extra["takes"] or KINDS[field.annotation or str]
    return " ".join([str(words), *bounds])


def _sentences(model: type[EngineVariables], error: ValidationError) -> Iterator[str]:
    described = fields(model)
    for fault in error.errors(include_url=False):
        name = str(fault["loc"][0])
        field = described[name]
        assert isinstance(field.json_schema_extra, dict)
        if (said := fault.get("ctx", {}).get("error")) is None:
            secret = field.json_schema_extra["secret"]
            wrong = "what it is" if secret else f"“{printable(str(fault['input']))[:LONGEST]}”"
            said = f"cannot be {wrong}"
        yield f"{name} {said}; it takes {takes(field)}."
