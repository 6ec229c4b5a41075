"""Completions of a server that speaks OpenAI's protocol for chats.

Torch-free. A researcher chooses the address, so only hosts that an admin lists are asked, and redirects
are not followed. The key comes from the environment, or through a pipe of who started us, and is shown nowhere. Log-probabilities are the
server's own sums over the tokens it reports: whether these include the end token, and the temperature, is
its business, so they are kept beside the completion and never taken for those of our sampler. Where a text
holds what looks like a control token, most servers take it for one: we know no server's tokens, so we count
what looks like those of common models.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from typing import Annotated, Any

import openai
from pydantic import BaseModel, Field, ValidationError

from alignment.kinds.generate.settings import GenerateConfig
from alignment.seam.errors import ConfigError, ServerError
from alignment.seam.handing import KEY, handed_over
from alignment.seam.modelfiles import printable
from alignment.seam.progress import through
from alignment.seam.records import CompletionRecord, PromptRecord
from alignment.seam.tools import openai_turn, tools_of
from alignment.seam.variables import EngineVariables, read
from alignment.seam.words import _

ALLOWED = "ATTUNE_GENERATION_SERVERS"
HERE = ("localhost", "127.0.0.1", "[::1]")  # what is sent to them leaves no machine
NO_KEY = "none"  # the client insists on one
# Strict, so that nobody reads another host out of an address than the client does.
ADDRESS = re.compile(r"(https?://)([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
AT_ONCE = 8  # requests
RETRIES = 5  # of a request that a busy server refused
TIMEOUT = 300.0  # seconds
LOOKS = re.compile(
    r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?(?:INST|SYSTEM_PROMPT)\]|<(?:start|end)_of_turn>|</?think>"
    "|<\uff5c[^\uff5c<>]{1,40}\uff5c>"
)
HINTS = {
    401: f" Set {KEY} on the worker.",
    403: f" Set {KEY} on the worker.",
    404: " Check the address, up to its /v1, and the name of the model.",
}


class _Token(BaseModel):
    logprob: Annotated[float, Field(le=1e-6, allow_inf_nan=False)]


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Said(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(BaseModel):
    completion_tokens: Annotated[int, Field(ge=0)]


class _Answer(BaseModel):
    """What we read of a chat completion."""

    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None


def look_alikes(role: str, text: str) -> list[str]:
    """What in a text looks like a control token of a common model, whoever speaks."""
    return LOOKS.findall(text)


def check_allowed(address: str) -> str:
    """The host of an address that an admin allows; raises ConfigError for any other."""
    found = ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(
            _("“{address}” is not an address; write https://host:port/v1.").format(
                address=printable(address)
            )
        )
    scheme, host = found[1], found[2] + (found[3] or "")
    listed = read(EngineVariables).generation_servers
    allowed = {name.removeprefix("https://").removeprefix("http://") for name in listed}
    if host not in allowed:
        raise ConfigError(
            _(
                "{host} is not a server that an admin allows; it would have to be in {allowed}."
            ).format(host=host, allowed=ALLOWED)
        )
    if scheme == "http://" and scheme + host not in listed and found[2] not in HERE:
        raise ConfigError(
            _(
                "{host} is asked by https:// alone: by http:// everybody on the way reads the key and the "
                "prompts. An admin who wants that lists it as http://{host} in {allowed}."
            ).format(host=host, allowed=ALLOWED)
        )
    return host


class Server:
    """A connection to the server of a run's settings; every request has a seed of its own."""

    def __init__(self, config: GenerateConfig, seed: int) -> None:
        self.config = config
        self.host = check_allowed(config.server_url)
        self.seeds = count(seed * 1_000_003)
        self.tells_logps = True  # until the server refuses to
        self.key = read(EngineVariables).generation_key or handed_over() or NO_KEY
        self.client = openai.OpenAI(
            base_url=config.server_url,
            api_key=self.key,
            max_retries=RETRIES,
            timeout=TIMEOUT,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def draw(self, prompts: Sequence[PromptRecord]) -> list[list[CompletionRecord]]:
        """Completions of every prompt, one request each; raises ServerError."""
        size = self.config.drawn
        asked = [(prompt, next(self.seeds)) for prompt in prompts for _ in range(size)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda one: self.answer(*one), asked)
            records = list(through(answers, len(asked)))
        return [records[i : i + size] for i in range(0, len(records), size)]

    def answer(self, prompt: PromptRecord, seed: int) -> CompletionRecord:
        """One completion of a prompt."""
        try:
            found = _Answer.model_validate_json(self._asked(prompt, seed))
        except openai.APIStatusError as error:
            raise ServerError(self._refusal(error)) from None  # its request holds the key
        except openai.APIConnectionError:
            raise ServerError(
                _("{host} could not be reached; try again later.").format(host=self.host)
            ) from None
        except ValidationError as error:
            where = ".".join(map(str, error.errors()[0]["loc"])) or "it"
            raise ServerError(
                _(
                    "What {host} answered is no chat completion: {where} is wrong or missing."
                ).format(host=self.host, where=where)
            ) from error
        return record_of(prompt, found)

    def _asked(self, prompt: PromptRecord, seed: int) -> bytes:
        described: Any = tools_of(prompt.messages)
        ask = partial(
            self.client.chat.completions.with_raw_response.create,
            model=self.config.server_model,
            messages=[openai_turn(turn) for turn in prompt.messages],
            tools=described or openai.omit,
            tool_choice="none" if described else openai.omit,  # an answer is text
            max_tokens=self.config.max_new_tokens,
            temperature=0.0 if self.config.greedy else self.config.temperature,
            top_p=openai.omit if self.config.top_p == 1 else self.config.top_p,
            stop=list(self.config.stops) or openai.omit,
            seed=seed,
        )
        if self.tells_logps:
            try:
                return ask(logprobs=True).content
            except openai.BadRequestError as error:
                if "logprob" not in str(error):
                    raise
                self.tells_logps = False
        return ask().content

    def _refusal(self, error: openai.APIStatusError) -> str:
        said = str(error) if self.key == NO_KEY else str(error).replace(self.key, "…")
        return f"{self.host} refused with {printable(said)}.{HINTS.get(error.status_code, '')}"


def record_of(prompt: PromptRecord, found: _Answer) -> CompletionRecord:
    """The first choice of an answer."""
    choice = found.choices[0]
    told = choice.logprobs.content if choice.logprobs else None
    tokens = found.usage.completion_tokens if found.usage else len(told) if told else None
    return CompletionRecord(
        prompt_key=prompt.key,
        text=choice.message.content or "",
        logps=sum(token.logprob for token in told) if told else None,
        tokens=tokens,
        truncated=choice.finish_reason == "length",
    )
