"""Chat templates: written as transformers writes them, and no danger to whoever renders them."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignment.foreign import program as foreign
from alignment.foreign import templates
from alignment.foreign.isolation import APART
from alignment.foreign.templates import render, render_all
from alignment.seam.errors import DataError
from tests.alignment.conftest import TEMPLATE, hurried, tiny_tokenizer
from tests.cases import cases

CONTENT = "{{ messages[-1]['content'] }}"
TALK = [{"role": "system", "content": "good day"}, {"role": "user", "content": "please now"}]
# What the field's own templates use, each once.
ORDINARY = {
    "plain": TEMPLATE,
    "blocks and strips": (
        "{{- bos_token }}\n{%- for message in messages %}\n    {%- if message.role == 'user' -%}\n"
        "    [{{ loop.index0 }}] {{ message['content'] | trim }}\n    {%- else %}\n"
        "        {{ message['content'] }}\n    {%- endif %}\n{%- endfor %}\n"
    ),
    "namespace": (
        "{% set ns = namespace(found=false, index=0) %}{% for m in messages %}"
        "{% if m.role == 'user' %}{% set ns.found = true %}{% set ns.index = loop.index %}{% endif %}"
        "{% endfor %}{{ ns.found }}{{ ns.index }}"
    ),
    "loop controls": (
        "{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}"
        "{% if not m.content %}{% continue %}{% endif %}{{ m.content }}{% endfor %}"
    ),
    "json": "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ {'é': '<'} | tojson }}",
    "macro": (
        "{% macro turn(m, last=false) %}<{{ m.role }}>{{ m.content }}{{ '!' if last }}{% endmacro %}"
        "{% for m in messages %}{{ turn(m, loop.last) }}{% endfor %}"
    ),
    "generation": (
        "{% for m in messages %}{% generation %}{% set x = m.content %}{{ x }}\n{% endgeneration %}"
        "{% endfor %}{{ x is defined }}"
    ),
    "special tokens": "{{ eos_token }}{{ pad_token }}{{ unk_token }}{{ bos_token is defined }}",
    "tools and documents": "{{ tools is none }}{{ tools }}{{ documents }}{{ tools is defined }}",
    "dates": "{{ strftime_now('%Y-%m-%d') }}{{ dict(a=1) }}{{ dict.fromkeys('ab') }}",
    "strings": "{{ messages[-1].content.split('a')[-1].strip().upper() }}{{ messages[1:] | length }}",
    "keys": "{% for m in messages %}{{ m.keys() | list }}{{ m.get('thinking') }}{% endfor %}",
    "turns alternate": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content }}{% endfor %}"
    ),
}
LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}"
# What a template may try, and what is said of it.
HOSTILE = {
    "loops": (
        LOOP.replace("{{ b }}", ""),
        "did not finish within 1 s",
    ),  # what it wrote would take memory
    "power": ("{{ 10 ** (10 ** 9) }}", "did not finish within 1 s"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "strings": ("{{ 'x' * 10 ** 10 }}", "more than 1 GB"),
    "lists": ("{{ ([0] * 10 ** 9) | length }}", "more than 1 GB"),
    "indent": ("{{ 'a\nb' | indent(10 ** 10) }}", "more than 1 GB"),
    "json": ("{{ messages | tojson(indent=10 ** 10) }}", "more than 1 GB"),
    "justified": ("{{ 'x'.ljust(10 ** 11) }}", "more than 1 GB"),
    "format": ("{{ '%9999999999d' | format(1) }}", "more than 1 GB"),
    "long": ("{{ 'x' * 20000000 }}", "more than 16,777,216 characters"),
    "loud": ("{{ raise_exception('\n' * 9 ~ 'x' * 10 ** 7) }}", "chat_template.jinja"),
    "ranges": ("{{ range(10 ** 9) }}", "OverflowError"),
    "include": ("{% include 'other' %}", "TypeError: no loader"),
    "import": ("{% import 'os' as os %}", "TypeError: no loader"),
    "extends": ("{% extends 'other' %}", "TypeError: no loader"),
    "deep": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "no chat template that can be used"),
    "nested": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, "no chat template that can be used"),
    "unclosed": ("{% for m in messages %}", "no chat template that can be used"),
    "names": ("{{ messages.__class__.__mro__ }}{{ ''.__class__.__mro__ }}", "SecurityError"),
    "zero": ("{{ 1 // 0 }}", "ZeroDivisionError"),
    "attributes": ("{{ messages.nothing.at.all() }}", "UndefinedError"),
    "calls": ("{{ messages() }}", "TypeError"),
    "numbers": ("{{ 10 ** 5000 }}", "ValueError"),
    "changes": ("{{ messages.append(1) }}", "SecurityError"),
    "text and number": ("{{ 'a' + 1 }}", "TypeError"),
}


def said(source: str, turns: list[dict[str, str]], *, generation: bool) -> str:
    """What transformers writes, or the first line of what it raises."""
    try:
        return tiny_tokenizer().apply_chat_template(
            turns, chat_template=source, tokenize=False, add_generation_prompt=generation
        )
    except Exception as error:
        return str(error)


def written(source: str, turns: list[dict[str, str]], *, generation: bool) -> str:
    special = tiny_tokenizer().special_tokens_map
    try:
        return render(source, turns, special=special, generation=generation)
    except DataError as error:
        return str(error).rpartition(": ")[2]


TEXT = st.text(st.characters(exclude_categories=()), max_size=12)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": TEXT},
    optional={"thinking": TEXT, "reasoning": st.none() | TEXT, "name": st.none() | TEXT},
)


@pytest.mark.parametrize("name", ORDINARY)
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(TURN, min_size=1, max_size=4), st.booleans())
def test_an_ordinary_template_is_written_as_transformers_writes_it(name, turns, generation):
    source = ORDINARY[name]
    mine = written(source, turns, generation=generation)
    assert mine == said(source, turns, generation=generation)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_template_that_asks_for_too_much_or_fails_is_refused_by_name(name):
    source, cause = HOSTILE[name]
    before = time.monotonic()
    with hurried(cause), pytest.raises(DataError) as refused:
        render(source, TALK, special={}, generation=True)
    assert "chat_template.jinja" in str(refused.value)
    assert cause in str(refused.value)
    assert len(str(refused.value)) < 500
    assert time.monotonic() - before < 10
    assert render(CONTENT, TALK, special={}, generation=True) == "please now"


def test_memory_is_there_up_to_the_limit():
    """Half of it is given, more than it is not."""
    half, more = (f"{{{{ ('x' * {size}) | length }}}}" for size in (500_000_000, 1_200_000_000))
    assert render(half, TALK, special={}, generation=True) == "500000000"
    with pytest.raises(DataError, match="more than 1 GB"):
        render(more, TALK, special={}, generation=True)


def test_many_conversations_go_together_and_keep_their_order(monkeypatch):
    monkeypatch.setattr(templates, "TOGETHER", 3)
    talks = [[{"role": "user", "content": f"number {number}"}] for number in range(10)]
    found = render_all(CONTENT, talks, special={}, generation=False)
    assert found == [f"number {number}" for number in range(10)]
    monkeypatch.setattr(templates, "LENGTH", 9)
    assert render_all(CONTENT, talks, special={}, generation=False) == found
    assert render_all(CONTENT, [], special={}, generation=False) == []


def test_the_conversation_that_does_not_fit_is_told():
    source = ORDINARY["turns alternate"]
    fine, odd = [{"role": "user", "content": "a"}], [{"role": "assistant", "content": "a"}]
    with pytest.raises(DataError, match="conversation of assistant: roles must alternate"):
        render_all(source, [fine, fine, odd], special={}, generation=False)


def test_a_template_is_compiled_once():
    foreign.compiled.cache_clear()
    for _ in range(3):
        request = {"task": "render", "texts": [TALK], "source": CONTENT, "special": {}}
        assert foreign.answered({**request, "generation": False}) == {"results": ["please now"]}
    assert foreign.compiled.cache_info().misses == 1


def test_of_several_templates_the_default_is_taken():
    sources = {"default": CONTENT, "tool_use": "tools"}
    assert render(sources, TALK, special={}, generation=False) == "please now"
    with pytest.raises(DataError, match="named “default”"):
        render({"tool_use": "tools"}, TALK, special={}, generation=False)


def pid() -> int:
    render(CONTENT, TALK, special={}, generation=False)
    return APART._running.program.pid


def test_a_killed_program_is_started_anew():
    first = pid()
    assert pid() == first
    os.kill(first, signal.SIGKILL)
    psutil.Process(first).wait(5)
    assert pid() != first


def test_a_forked_process_has_a_program_of_its_own():
    first = pid()
    child = os.fork()
    if not child:
        os._exit(0 if pid() != first else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pid() == first


def test_threads_take_turns():
    def ask(number: int) -> str:
        turns = [{"role": "user", "content": f"{number}" * 1000}]
        return render(CONTENT, turns, special={}, generation=False)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(40))) == [f"{number}" * 1000 for number in range(40)]


@cases("source", [CONTENT, LOOP])
def test_the_program_ends_with_whoever_started_it(source):
    """Killed without a word, idle or in the middle of a template."""
    code = (
        "from alignment.foreign import isolation, templates\nisolation.SECONDS = 1\n"
        "talk = [{'role': 'user', 'content': 'now'}]\n"
        f"print(templates.render({CONTENT!r}, talk, special={{}}, generation=False), flush=True)\n"
        f"templates.render({source!r}, talk, special={{}}, generation=False)\ninput()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with starter:
        assert starter.stdout.readline() == b"now\n"
        (program,) = psutil.Process(starter.pid).children()
        starter.kill()
    psutil.wait_procs([program], timeout=10)
    assert not program.is_running()
