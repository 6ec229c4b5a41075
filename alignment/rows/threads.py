"""Messages of trees that stand in rows of their own, put together: a row for each tree.

Consumer: Open-Assistant's flat exports. Recognised by `message_id`, `role` and `text`. All messages of
a file are held until its end, since no order of them is promised.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from alignment.rows.found import BadRow
from alignment.rows.json_lines import Row
from alignment.seam.words import _

MESSAGE = {"message_id", "role", "text"}  # a table has no `parent_id` where there is none


def is_message(row: object) -> bool:
    """Whether it is one message of a tree."""
    return isinstance(row, dict) and row.keys() >= MESSAGE and isinstance(row["message_id"], str)


def with_trees(rows: Iterable[Row]) -> Iterator[Row]:
    """All rows as they are, and then the trees of those that are messages; each lost message is a bad row."""
    messages: dict[str, Row] = {}
    for row in rows:
        if not is_message(row.value):
            yield row
        elif row.value["message_id"] in messages:
            yield Row(row.place, BadRow(_("its message_id came before")))
        else:
            messages[row.value["message_id"]] = row
    yield from _trees(messages)


def _trees(messages: dict[str, Row]) -> Iterator[Row]:
    nodes = {name: {**row.value, "replies": []} for name, row in messages.items()}
    roots = []
    for name, node in nodes.items():
        parent = node.pop("parent_id", None)
        above = nodes.get(parent) if isinstance(parent, str) else None
        if parent is None or parent == "":
            roots.append(name)
        elif above is not None:
            above["replies"].append(node)
    reached: set[str] = set()
    for name in roots:
        reached.update(_below(nodes[name]))
        yield Row(messages[name].place, {"message_tree_id": name, "prompt": _root(nodes[name])})
    for name in (one for one in messages if one not in reached):
        yield Row(
            messages[name].place, BadRow(_("its parent is not in the file, or it is its own"))
        )


def _below(root: dict[str, Any]) -> Iterator[str]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node["message_id"]
        waiting.extend(node["replies"])


def _root(node: dict[str, Any]) -> dict[str, Any]:
    """The first message; its tree is named after it."""
    return {name: value for name, value in node.items() if name != "message_tree_id"}
