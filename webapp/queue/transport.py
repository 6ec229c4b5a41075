"""Messages that are none of ours are dropped and logged: kombu and Celery end their worker over some.

Whoever writes to the broker may leave anything in a queue. What is lost with it `manage.py tend` says again.
"""

import base64
import json
import logging
from typing import Any, Literal

from kombu.transport import redis
from pydantic import BaseModel, TypeAdapter

logger = logging.getLogger(__name__)


class _Headers(BaseModel, strict=True):
    """What Celery says of a task of ours: it is for now, and is not tried again."""

    task: str
    id: str
    lang: str = "py"
    root_id: str | None = None
    parent_id: str | None = None
    origin: str | None = None
    argsrepr: str = ""
    kwargsrepr: str = ""
    retries: Literal[0] = 0
    timelimit: list[None] | None = None
    eta: None = None
    expires: None = None
    group: None = None
    shadow: None = None
    compression: None = None
    ignore_result: bool = False
    replaced_task_nesting: Literal[0] = 0
    stamped_headers: None = None
    stamps: dict[str, None] = {}


class _Place(BaseModel, strict=True):
    """Where a message was sent to."""

    exchange: str
    routing_key: str
    priority: int = 0


class _Properties(BaseModel, strict=True):
    """What kombu says of a message."""

    delivery_tag: str
    delivery_info: _Place
    body_encoding: Literal["base64"]
    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int = 0


class _Message(BaseModel, strict=True, populate_by_name=True):
    """A message as it lies in the broker."""

    body: str
    headers: _Headers
    properties: _Properties


Said = TypeAdapter(
    tuple[list[str | int], dict[str, None], dict[str, Any]]
)  # arguments, and how they belong together


class Channel(redis.Channel):
    """Goes on behind a text that is no message."""

    def _brpop_read(self, **options: Any) -> Any:  # noqa: ANN401 - kombu's own
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]  # kombu has no types
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            _drop(error)
            return True


class Transport(redis.Transport):
    """kombu's, which hands on only what our own programs send."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:  # noqa: ANN401 - anything
        try:
            found = _Message.model_validate(message)
            Said.validate_json(base64.b64decode(found.body, validate=True))
            told = message.get("content-type"), message.get("content-encoding")
            if told != ("application/json", "utf-8"):
                raise ValueError(f"it is {told}")
        except ValueError as error:
            _drop(error)
        else:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]  # kombu has no types


def _drop(error: Exception) -> None:
    logger.error("A message that none of our programs sends was dropped: %.500s", error)
