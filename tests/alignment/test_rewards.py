"""Rewards from code: what a function or a command says is taken as it is, or the row is named; hostile code reaches nothing."""

import socket
import sys
import time
import venv
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from alignment.command_line.own_code import store_own_command, store_own_function
from alignment.foreign import code_files, confinement, reward_program, rewards
from alignment.foreign.code_files import read_code, store_function
from alignment.foreign.rewards import Code, CodeError, Limits, RewardCode, confinement_fault
from alignment.seam.errors import ConfigError, DataError

OWN, APART = Limits(5), Limits(5, 256)


def row(completion, **columns):
    said = {"prompt": "How?", "messages": [{"role": "user", "content": "How?"}]}
    return {**said, "completion": completion, "columns": columns}


ROWS = [row("sun", answer="sun"), row("rain", answer="sun"), row("", answer="")]


@pytest.fixture
def asked(tmp_path):
    """The parts that a function of these lines gives rows, or what a command gives."""
    made = []

    def ask(body="", *, rows=ROWS, limits=OWN, takes="completions, **columns", command=()):
        file = tmp_path / "mine.py"
        file.write_text(f"import os, sys, math\ndef score({takes}):\n    {body}\n")
        code = Code(command=command) if command else Code(file, "score")
        made.append(RewardCode(code, limits))
        return made[-1].parts(rows)

    yield ask
    for one in made:
        one.end()


@pytest.fixture
def apart(asked):
    """The same, kept apart from everything."""
    if fault := confinement_fault():
        pytest.skip(f"namespaces: {fault}")

    def ask(body, seconds=5, mebibytes=256, **more):
        return asked(body, limits=Limits(seconds, mebibytes), **more)

    return ask


@pytest.mark.parametrize("limits", [OWN, APART])
def test_a_function_is_given_lists_and_its_prompts_columns(asked, limits):
    if limits.mebibytes and (fault := confinement_fault()):
        pytest.skip(f"namespaces: {fault}")
    body = "return [a == c for a, c in zip(answer, completions, strict=True)]"
    found = asked(body, limits=limits, takes="completions, answer, prompts=None")
    assert found == [{"reward": 1.0}, {"reward": 0.0}, {"reward": 1.0}]


@pytest.mark.parametrize(
    "body",
    [
        "return [{'right': 1, 'long': len(c) / 2} for c in completions]",
        "return {'right': [1] * len(completions), 'long': [len(c) / 2 for c in completions]}",
    ],
)
def test_a_reward_may_have_parts(asked, body):
    assert asked(body)[:2] == [{"right": 1.0, "long": 1.5}, {"right": 1.0, "long": 2.0}]


def test_a_row_that_lacks_a_column_has_none_there(asked):
    found = asked(
        "return [t is None for t in tests]", rows=[row("a", tests="x"), row("b")], takes="tests"
    )
    assert [one["reward"] for one in found] == [0.0, 1.0]


PICKED = "return [{} if c == 'rain' else 1.0 for c in completions]"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("math.nan", "gave NaN, which is no finite number"),
        ("-math.inf", "gave -Infinity, which is no finite number"),
        ("10 ** 400", "which is no finite number"),
        ("'much'", "gave much, which is no number"),
        ("None", "gave null, which is no number"),
        ("object", "which is no number"),
        ("{}", "it gave 0 numbers"),
        ("{'good': math.nan}", "gave NaN as good"),
        ("{'good': 1}", "it gave good, and reward before"),
        ("{'a b': 1}", "a b is no name"),
        ("1 / 0", "it raised ZeroDivisionError: division by zero"),
        ("sys.exit()", "it raised SystemExit"),
        ("os._exit(0)", "ended before it had answered (status 0)"),
        ("os.kill(os.getpid(), 9)", "ended before it had answered (status -9)"),
    ],
)
def test_a_row_without_a_number_is_named_with_the_reason(asked, value, reason):
    with pytest.raises(CodeError) as failed:
        asked(PICKED.format(value))
    assert reason in str(failed.value)
    assert failed.value.place == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return [1.0] * (len(completions) + 1)", "it gave 2 values for 1 completions"),
        ("return [1.0] * (len(completions) > 1)", "it gave 0 values for 1 completions"),
        ("return 1.0", "it raised TypeError"),
    ],
)
def test_a_wrong_count_is_no_reward(asked, body, reason):
    with pytest.raises(CodeError, match=reason) as failed:
        asked(body)
    assert failed.value.place == 0


def test_rows_that_fail_only_together_are_told_as_such(asked):
    with pytest.raises(CodeError, match="raised ValueError: many") as failed:
        asked("if len(completions) > 1: raise ValueError('many')\n    return [0]")
    assert failed.value.place is None


@pytest.mark.slow
def test_one_that_takes_too_long_is_found_and_the_next_rows_are_answered(asked):
    slow = "while 'rain' in completions: pass\n    return [1] * len(completions)"
    with pytest.raises(CodeError, match="did not finish within 1 s") as failed:
        asked(slow, limits=Limits(1))
    assert failed.value.place == 1
    assert asked(slow, rows=ROWS[:1], limits=Limits(1)) == [{"reward": 1.0}]


def test_what_is_printed_is_no_answer(asked, capfd):
    assert len(asked("print('garbage')\n    os.write(1, b'more')\n    return [0, 0, 0]")) == 3
    assert "garbage" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("takes", "source", "reason"),
    [
        ("tests", "return [1]", "it asks for “tests”, and no prompt has a column of this name"),
        ("completions", "return nothing", "it raised NameError"),
    ],
)
def test_a_function_that_cannot_be_asked_says_what_is_missing(asked, takes, source, reason):
    with pytest.raises(CodeError, match=reason):
        asked(source, takes=takes)


@pytest.mark.parametrize("source", ["1 / 0", "def score(:", "other = 1"])
def test_a_file_that_cannot_be_loaded_is_no_reward(tmp_path, source):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ConfigError, match=r"cannot be used: .*(ZeroDivision|Syntax|no function)"):
        RewardCode(Code(tmp_path / "mine.py", "score"), OWN).parts(ROWS)


ECHO = "import sys, json\nfor line in sys.stdin: print({}, flush=True)"


def command(answer):
    return (sys.executable, "-c", ECHO.format(answer))


def test_a_command_answers_a_line_with_a_line(asked):
    said = "json.dumps({'right': json.loads(line)['answer'] == json.loads(line)['completion']})"
    assert [one["right"] for one in asked(command=command(said))] == [1.0, 0.0, 1.0]


def test_many_long_lines_go_both_ways_at_once(asked):
    rows = [row("x" * 10_000) for _ in range(100)]
    found = asked(rows=rows, command=command("' ' * 10_000 + '1'"))
    assert found == [{"reward": 1.0}] * 100


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("'NaN'", "no finite number"),
        ("'hello'", "hello, which is no number"),
        ("'[' * 9999", "no number"),
        ("sys.exit(3)", "status 3"),
        ("'x' * (1 << 25)", "it wrote more than 16 MiB"),
    ],
)
def test_a_command_that_writes_no_number_is_told(asked, answer, reason):
    with pytest.raises(CodeError, match=reason) as failed:
        asked(command=command(answer))
    assert failed.value.place == 0


def test_a_command_that_is_not_there_is_told(asked):
    with pytest.raises(ConfigError, match="cannot be started"):
        asked(command=("/nowhere/at/all",))


# What follows is hostile: each ends with a sentence, and reaches nothing.


def test_an_endless_loop_is_ended_with_all_that_it_started(apart):
    started = time.monotonic()
    with pytest.raises(CodeError, match="did not finish within 1 s"):
        apart(
            "import signal; signal.alarm(0)\n    os.fork()\n    while True: pass", 1, rows=ROWS[:1]
        )
    assert time.monotonic() - started < 4


def test_it_cannot_take_more_memory_than_it_may(apart):
    with pytest.raises(CodeError, match="asked for more than 256 MiB of memory"):
        apart("return [len(bytearray(10 << 30))]", rows=ROWS[:1])


def test_its_processes_share_one_limit_of_memory(apart):
    body = "[os.fork() for _ in range(2)]\n    held = bytearray(os.urandom(1 << 20) * 100)\n    import time; time.sleep(9)"
    with pytest.raises(CodeError, match="asked for more than 256 MiB of memory"):
        apart(body, rows=ROWS[:1])


def test_a_fork_bomb_runs_out_of_processes(apart):
    with pytest.raises(CodeError, match="it raised BlockingIOError"):
        apart("while True: os.fork()", rows=ROWS[:1])


def test_threads_count_as_processes(apart):
    body = "import threading\n    threading.stack_size(65536)\n    wait = threading.Event()\n    "
    body += "[threading.Thread(target=wait.wait, daemon=True).start() for _ in range(99)]"
    with pytest.raises(CodeError, match="can't start new thread"):
        apart(body, rows=ROWS[:1])


def test_it_has_no_network(apart):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        with pytest.raises(CodeError, match=r"raised OSError: .*unreachable"):
            apart(f"import socket; socket.create_connection(('127.0.0.1', {port}))", rows=ROWS[:1])


def test_it_sees_no_environment_but_its_own(apart, monkeypatch):
    monkeypatch.setenv("ATTUNE_SECRET_KEY", "hush")
    with pytest.raises(CodeError) as failed:
        apart("raise ValueError(str(dict(os.environ)))", rows=ROWS[:1])
    assert "HOME" in str(failed.value)
    assert "ATTUNE" not in str(failed.value)
    with pytest.raises(CodeError, match="FileNotFoundError"):
        apart("open('/proc/1/environ').read()", rows=ROWS[:1])


def test_it_reads_no_file_of_the_installation(apart, tmp_path):
    (tmp_path / "secret").write_text("hush")
    for path in (
        tmp_path / "secret",
        Path(rewards.__file__),
        "/etc/passwd",
        "/proc/self/maps",
    ):
        with pytest.raises(CodeError, match="it raised FileNotFoundError"):
            apart(f"os.stat({str(path)!r})", rows=ROWS[:1])
    with pytest.raises(CodeError, match=r"it raised ValueError: \['bin', .*'tmp', 'usr'"):
        apart("raise ValueError(sorted(os.listdir('/')))", rows=ROWS[:1])


def test_it_writes_nothing_outside(apart, tmp_path):
    with pytest.raises(CodeError, match=r"it raised (FileNotFound|Permission)Error"):
        apart(f"open({str(tmp_path / 'made')!r}, 'w')", rows=ROWS[:1])
    assert not (tmp_path / "made").exists()
    with pytest.raises(CodeError, match=r"it raised (OSError|PermissionError)"):
        apart("open(os.__file__, 'a')", rows=ROWS[:1])
    assert apart("open('/tmp/own', 'w').write('x')\n    return [1]", rows=ROWS[:1])


def test_what_it_may_write_has_an_end(apart):
    body = "with open('/tmp/own', 'wb') as file:\n        while True: file.write(bytes(1 << 20))"
    with pytest.raises(CodeError, match="No space left"):
        apart(body, rows=ROWS[:1])


def test_it_is_nobody_and_gains_nothing(apart):
    body = "import ctypes; libc = ctypes.CDLL(None, use_errno=True)\n    "
    body += "return {'user': [os.getuid()], 'root': [libc.unshare(0x10000000)], 'net': [libc.unshare(0x40000000)], "
    body += "'mount': [libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)]}"
    found = apart(body, rows=ROWS[:1])[0]
    assert found["user"] == 1000
    assert (found["net"], found["mount"]) == (-1, -1)


@pytest.mark.parametrize("whom", ["os.getppid()", "-1", "1"])
def test_it_can_end_nobody(apart, whom):
    body = f"try: os.kill({whom}, 9)\n    except OSError: pass\n    return [1]"
    assert apart(body, rows=ROWS[:1]) == [{"reward": 1.0}]


def test_garbage_on_every_channel_is_no_answer(apart):
    body = "for n in range(3, 64):\n        try: os.write(n, b'garbage\\n' * 9)\n        except OSError: pass\n    return [1]"
    with pytest.raises(CodeError, match="it wrote what is no answer"):
        apart(body, rows=ROWS[:1])


@pytest.mark.usefixtures("apart")
def test_nothing_of_it_outlives_who_asked(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import ctypes, os, signal\n"
        "def score(completions):\n"
        "    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    os.fork() or [None for _ in iter(int, 1)]\n    return [1]\n"
    )
    code = RewardCode(Code(tmp_path / "mine.py", "score"), Limits(5, 256))
    assert code.parts(ROWS[:1]) == [{"reward": 1.0}]
    assert running(tmp_path / "mine.py")
    code.end()
    assert not running(tmp_path / "mine.py")


def running(file):
    """The processes that are named after a file."""
    found = Path("/proc").glob("[0-9]*/cmdline")
    return [one for one in found if bytes(file) in _read(one)]


def test_python_may_lie_below_a_folder_that_a_cell_makes_itself(apart, monkeypatch):
    with TemporaryDirectory(dir="/tmp") as folder:
        venv.create(folder, symlinks=True)
        monkeypatch.setattr(sys, "executable", f"{folder}/bin/python")
        found = apart(f"return [sys.prefix == {folder!r} for _ in completions]")
    assert found == [{"reward": 1.0}] * len(ROWS)


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_kernel_without_namespaces_is_told(tmp_path, monkeypatch):
    """As where a container forbids them: the program's own first step fails."""
    (tmp_path / "mine.py").write_text("def score(completions): return [0]\n")
    broken = Path(confinement.__file__).read_text()
    folder = tmp_path / "alignment" / "foreign"
    folder.mkdir(parents=True)
    (folder / "confinement.py").write_text(
        broken.replace('_call("unshare",', '_call("chroot", b"/nowhere", ')
    )
    (folder / "reward_program.py").write_text(Path(reward_program.__file__).read_text())
    monkeypatch.setattr(rewards, "PROGRAM", folder / "reward_program.py")
    with pytest.raises(
        ConfigError, match="chroot: No such file or directory keeps it from being run apart"
    ):
        RewardCode(Code(tmp_path / "mine.py", "score"), APART).parts(ROWS)


# Folders of code.


def test_a_registered_function_is_read_as_it_was_stored(tmp_path):
    store_function(tmp_path, b"def score(completions): return [0]", "score")
    assert read_code(tmp_path, own=False) == (Code(tmp_path / "reward.py", "score"), True)
    (tmp_path / "reward.py").write_text("def score(completions): return [1]")
    with pytest.raises(DataError, match="is not what it was"):
        read_code(tmp_path, own=False)


def test_what_stands_on_a_command_line_is_no_input_of_others(tmp_path):
    (tmp_path / "mine.py").write_text("def score(completions): return [0]")
    store_own_function(tmp_path, f"{tmp_path / 'mine.py'}:score")
    assert read_code(tmp_path, own=True) == (Code(tmp_path / "mine.py", "score"), False)
    with pytest.raises(DataError, match="not registered"):
        read_code(tmp_path, own=False)
    store_own_command(tmp_path, "./score --strict 'two words'")
    assert read_code(tmp_path, own=True)[0].command == ("./score", "--strict", "two words")
    with pytest.raises(DataError, match="not registered"):
        read_code(tmp_path, own=False)


@pytest.mark.parametrize(
    ("source", "name", "reason"),
    [
        (b"def score(): 0", "score()", "no name of a function"),
        (b"def score(): 0", "other", "has no function"),
        (b"\xff\xfe score", "score", "not UTF-8"),
        (b"score\0", "score", "has no function"),
        (b"score" + b" " * code_files.LARGEST, "score", "larger than 1,024 KiB"),
    ],
)
def test_a_file_that_is_none_of_python_is_refused(tmp_path, source, name, reason):
    with pytest.raises(DataError, match=reason):
        store_function(tmp_path, source, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", ["mine.py", "nowhere.py:score", ":"])
def test_a_function_that_is_not_named_is_refused(tmp_path, named):
    with pytest.raises((ConfigError, DataError)):
        store_own_function(tmp_path, named)


def test_a_folder_without_code_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no reward from code"):
        read_code(tmp_path, own=True)
