"""What `make lint` checks of types, and what it is told to overlook."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
IGNORED = re.compile(r"#\s*type:\s*ignore(?P<code>\[[a-z-]+\])?(?P<reason>\s+#\s*\w.*)?")


def unexplained(text: str) -> list[str]:
    """The comments that silence a type error without naming it, or without a reason beside them."""
    found = IGNORED.finditer(text)
    return [one.group() for one in found if not (one["code"] and one["reason"])]


def test_a_silenced_error_without_its_name_or_a_reason_is_found():
    fine = "x = y()  # type: ignore[misc]  # the library has no types\n"
    bare, nameless = "# type: ignore[misc]", "# type: ignore  # because"
    assert unexplained(f"{fine}x = y()  {bare}\nx = y()  {nameless}\n") == [bare, nameless]


def test_no_type_error_is_silenced_without_a_reason():
    paths = [path for app in ("alignment", "webapp") for path in (ROOT / app).rglob("*.py")]
    wrong = {path: found for path in paths if (found := unexplained(path.read_text()))}
    assert len(paths) > 300
    assert wrong == {}


def test_both_programs_are_checked_strictly_and_nothing_of_them_is_left_out():
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]
    assert mypy["strict"]
    assert mypy["files"] == ["alignment", "webapp"]
    assert not {"exclude", "overrides", "disable_error_code"} & mypy.keys()
