"""Each documented variable with what it cannot be: a sentence, a status of 1, and never a traceback."""

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.checks.registry import registry

from alignment.seam.errors import ConfigError
from alignment.seam.variables import EngineVariables, fields, read, takes
from tests.cases import cases
from webapp.operations.checks import environment_known
from webapp.variables import Variables, database, unknown

FIELDS = fields(Variables)
COUNTED = {name for name, field in FIELDS.items() if field.annotation in (bool, int, float)}
NUMBERS = ["garbage", "nan", "inf", "-inf", "-1", "1e9", "9" * 5000, "1,5", "\udc80"]
# What is wrong in the kinds that are no numbers; a variable without a row here fails.
TEXTS = {
    "ATTUNE_VAR": ["/proc/nothing/here", "/etc/hostname", "/etc/hostname/x", "/sys/x", "/" + "x" * 5000],
    "DATABASE_URL": [
        "garbage", "nan", "-1", "1e9", "mysql://u:canary@h/d", "oracle://h/d", "sqlite://:memory:", "sqlite:///",
        "sqlite:////nowhere/at/all.sqlite3", "sqlite:////etc", "postgres://u:canary@h/",
        "postgres://", "postgres://h:99999/d", "postgres://h:x/d", "postgres://[::1/d", "postgres://h/d?canary=1", "postgres://h/d?pool=true",
    ],
    "REDIS_URL": [
        "garbage", "nan", "-1", "1e9", "redis://", "redis://h:99999", "redis://h:0", "redis://h/garbage", "http://h",
        "amqp://u:canary@h", "memory://", "redis+socket://", "unix:///x", "redis://[::1",
    ],
    "ATTUNE_NAME": ["A", "a b", "é", "x" * 33, "a_b"],
    "ATTUNE_SECRET_KEY": ["canary", "-1", "nan"],
    "ATTUNE_HOSTS": ["https://a.example", "a.example:80", "a b", "a/b", "-1", "é", "[::x]", "a..b"],
    "ATTUNE_OIDC_URL": ["http://a.example", "a.example", "https://", "https://[::1", "https://a?b=c", "-1"],
    "ATTUNE_OIDC_CLIENT": ["a b", "é"],
    "ATTUNE_OIDC_SECRET": ["canary key", "canar\xe9"],
    "ATTUNE_OIDC_NAME": [],
    "ATTUNE_MAIL_HOST": ["https://a.example", "a.example:25", "a b", "é", "-1", "[::x]"],
    "ATTUNE_MAIL_SECURITY": ["ssl", "TLS", "-1"],
    "ATTUNE_MAIL_USER": ["a b", "é"],
    "ATTUNE_MAIL_PASSWORD": ["canary key", "canar\xe9"],
    "ATTUNE_MAIL_FROM": ["nobody", "a b@c", "a@b\nBcc: c@d", "é@b", "@b", "a@"],
    "ATTUNE_DEVICE_MIB": ["-1", "1.5", "nan", "all"],
    "ATTUNE_SHARDING": ["zero3", "FSDP", "nan", "-1", "1e9"],
    "ATTUNE_TRACKERS": ["MLflow", "mlflow,comet", "-1", "1e9", "nan", "é"],
    "ATTUNE_GENERATION_SERVERS": ["ftp://a", "http://", "a/v1", "a:b", "é", "a b"],
    "ATTUNE_GENERATION_KEY": ["canary key", "canar\xe9", "canary\udc80"],
    "ATTUNE_MODEL_FOLDERS": ["garbage", "nan", "-1", "/etc/hostname", "/etc:models"],
    "ATTUNE_WEBHOOK_NETWORKS": ["garbage", "10.0.0.0/33", "10.0.0.1/8", "localhost", "nan", "é"],
    "ATTUNE_TRAINER_VARIABLES": ["-1", "1e9", "A B", "A=1", "é"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch, var):
    """Nothing set but a folder of our own."""
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ATTUNE_VAR", str(var))
    return monkeypatch


def sentences():
    with pytest.raises(ConfigError) as caught:
        read(Variables)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_what_a_variable_cannot_be_is_one_sentence(environment, name):
    for value in NUMBERS if name in COUNTED else TEXTS[name]:
        environment.setenv(name, value)
        (sentence,) = sentences()
        assert sentence.startswith(f"{name} ")
        assert sentence.endswith(f"; it takes {takes(FIELDS[name])}.")
        assert sentence.isprintable()
        assert len(sentence) < 400
        assert "canary" not in sentence


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_a_number_is_bounded_on_both_sides(environment, name):
    if FIELDS[name].annotation is bool:
        bounds = (0, 1)
    else:
        (least,) = (rule.ge for rule in FIELDS[name].metadata if hasattr(rule, "ge"))
        (most,) = (rule.le for rule in FIELDS[name].metadata if hasattr(rule, "le"))
        bounds = (least, most)
    for value in (bounds[0] - 0.001, bounds[1] + 1):
        environment.setenv(name, f"{value:f}")
        assert sentences()


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_is_as_if_unset(environment, empty):
    environment.delenv("ATTUNE_VAR")
    unset = read(Variables)
    for name in FIELDS:
        environment.setenv(name, empty)
    assert read(Variables) == unset


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgres://u:p%40@h:5433/d?sslmode=require"),
        ("DATABASE_URL", "postgresql://%2Fvar%2Frun%2Fpostgresql/d"),
        ("REDIS_URL", "redis://:p@h:6379/1"),
        ("REDIS_URL", "rediss://h/0?ssl_cert_reqs=required"),
        ("REDIS_URL", "redis+socket:///run/redis.sock?virtual_host=3"),
        ("ATTUNE_HOSTS", ".a.example, *, [::1], 10.0.0.1,under_score"),
        ("ATTUNE_MODEL_FOLDERS", "/etc:/not/mounted/yet"),
        ("ATTUNE_HTTPS", "true"),
    ],
)
def test_what_it_may_be_is_read(environment, name, value):
    environment.setenv(name, value)
    assert read(Variables) != read(EngineVariables)


def test_a_lease_outlasts_its_renewal(environment):
    environment.setenv("ATTUNE_JOB_RENEW", "10")
    environment.setenv("ATTUNE_JOB_LEASE", "19")
    assert sentences()[0].startswith(
        "ATTUNE_JOB_LEASE is 19, less than twice ATTUNE_JOB_RENEW (10)"
    )


def test_a_folder_of_any_name_holds_its_database(environment, tmp_path):
    place = tmp_path / "50% #1?"
    environment.setenv("ATTUNE_VAR", str(place))
    assert read(Variables).var == place
    assert place.is_dir()


def test_a_database_is_one_file_wherever_a_program_starts():
    assert database("sqlite:///README.md")["NAME"] == str(settings.BASE_DIR / "README.md")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a read-only disk")
def test_a_folder_that_cannot_be_written_is_refused(environment, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    environment.setenv("ATTUNE_VAR", str(small_disk))
    assert sentences()[0].startswith("ATTUNE_VAR is ")


def test_the_documentation_says_what_each_variable_takes():
    text = (settings.BASE_DIR / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", text, re.MULTILINE)
    described = [
        (name, field.json_schema_extra["shown"], takes(field)) for name, field in FIELDS.items()
    ]
    assert sorted(rows) == sorted(described)


def test_the_readme_names_no_variable_that_is_none():
    named = set(
        re.findall(r"`(ATTUNE_\w+|\w+_URL)`", (settings.BASE_DIR / "README.md").read_text())
    )
    assert named <= FIELDS.keys()


def test_a_misspelt_variable_is_named_with_what_is_meant():
    sentence = "ATTUNE_HOST is no variable of Attune; perhaps ATTUNE_HOSTS is meant."
    assert unknown({"ATTUNE_HOST": "a", "ATTUNE_GUARD": "1", "HOME": "/"}) == [sentence]


def test_check_warns_of_what_is_misspelt_or_missing(settings, tmp_path):
    settings.UNKNOWN_VARIABLES = unknown({"ATTUNE_GPU": "2"})
    settings.MODEL_FOLDERS = [str(tmp_path), str(tmp_path / "missing")]
    assert environment_known in registry.registered_checks
    found = [warning.msg for warning in environment_known()]
    assert [words.split()[0] for words in found] == ["ATTUNE_GPU", "ATTUNE_MODEL_FOLDERS"]


PROGRAMS = {
    "check": ["manage.py", "check"],
    "demo": ["manage.py", "demo", "--once"],
    "stack": ["manage.py", "stack", "--port", "0"],
    "tend": ["manage.py", "tend"],
    "worker": ["-m", "celery", "-A", "webapp", "worker"],
    "a web server": ["-c", "import webapp.wsgi"],
    "the command line": ["-m", "alignment", "fields", "align"],
}


@cases("program", PROGRAMS, quick=["check", "worker", "the command line"])
def test_every_program_says_all_of_it_and_ends(program):
    wrong = {"ATTUNE_NICE": "20", "ATTUNE_SHARDING": "zero3"}
    if program != "the command line":
        wrong |= {"ATTUNE_GPUS": "0", "DATABASE_URL": "mysql://u:canary@h/d"}
    result = subprocess.run(
        [sys.executable, *PROGRAMS[program]], cwd=settings.BASE_DIR, env=os.environ | wrong,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert result.stdout == ""
    assert {line.split()[0] for line in result.stderr.splitlines()} == wrong.keys()
