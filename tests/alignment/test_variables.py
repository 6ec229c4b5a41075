"""Variables of the engine: read where they are asked for, refused in a sentence each."""

import pytest

from alignment.seam.errors import ConfigError
from alignment.seam.variables import EngineVariables, fields, read

NAMES = sorted(fields(EngineVariables))


def refused():
    with pytest.raises(ConfigError) as caught:
        read(EngineVariables)
    return str(caught.value).split("\n")


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_is_unset(monkeypatch, empty):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    unset = read(EngineVariables)
    for name in NAMES:
        monkeypatch.setenv(name, empty)
    assert read(EngineVariables) == unset


def test_all_that_is_wrong_is_said_at_once(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "no good\x1b[1m/é")
    sentences = refused()
    assert sorted(sentence.split()[0] for sentence in sentences) == NAMES
    assert all(sentence.isprintable() and sentence.endswith(".") for sentence in sentences)


@pytest.mark.parametrize("key", ["canary secret", "canary\udc80"])
def test_a_wrong_secret_is_not_shown(monkeypatch, key):
    monkeypatch.setenv("ATTUNE_GENERATION_KEY", key)
    assert "canary" not in refused()[0]


@pytest.mark.parametrize(
    ("listed", "read_as"), [("A:1,, http://b ,", ("a:1", "http://b")), (",", ())]
)
def test_a_list_is_read_with_or_without_spaces(monkeypatch, listed, read_as):
    monkeypatch.setenv("ATTUNE_GENERATION_SERVERS", listed)
    assert read(EngineVariables).generation_servers == read_as


@pytest.mark.parametrize("said", ["0", "false", "no", "off"])
def test_no_is_said_in_several_ways(monkeypatch, said):
    monkeypatch.setenv("ATTUNE_HUB", said)
    assert not read(EngineVariables).hub
