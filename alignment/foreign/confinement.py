"""A process that sees Python, one file and nothing else: no network, no files, no secrets, no other process.

Linux's namespaces do it: of users, processes, mounts and networks. Standard library only, as the program that is
confined starts with nothing else. Root may make namespaces by itself and becomes nobody before foreign code runs;
anybody else makes them inside a namespace of users. Either way the process ends without privileges, and its
processes are counted apart from all others, so that a limit of their number holds for it alone (Linux 5.14).
"""

import ctypes
import os
import platform
import resource
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000  # of mount
NOSUID, NODEV = 0x2, 0x4
READ_ONLY = 0x1 | NOSUID | NODEV  # of mount_setattr
DETACH, RECURSIVELY = 2, 0x8000
MOUNT_SETATTR = 442  # the same number on every architecture
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
DUMPABLE, NO_NEW_PRIVILEGES, DROP_BOUND, PARENT_DEATH = 4, 38, 24, 1  # of prctl
CAPABILITIES = 0x20080522  # version 3 of capset's header
NOBODY = 65534
INSIDE = 1000  # what the user is called inside
ROOT = "/tmp"  # noqa: S108 - covered by the new root inside, nothing is written to it
PLACE = "/code"  # of the file
SPACE = (
    "size=64m,nr_inodes=4096,mode=755"  # that may be written inside; it is gone with the process
)
SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64")
ALSO = ("/usr/local/lib", "/etc/ld.so.cache", "/dev/null", "/dev/zero", "/dev/urandom")
OF_PYTHON = ("bin", "lib", "lib64", "pyvenv.cfg")  # of its folders
PROCESSES, FILES = 16, 256
NICENESS = 15  # whoever answers people on this machine goes first
LOOK = 0.25  # seconds between two looks at its memory
NO_MEMORY = 5  # exit status


class Cell(NamedTuple):
    """What is confined: its files by name, how much memory it may hold, and the channel that it lives by."""

    files: Mapping[str, str]
    mebibytes: int
    life: int  # file descriptor


def run_confined(cell: Cell, work: Callable[[], int], refuse: Callable[[OSError], int]) -> int:
    """Do the work confined, as the first process of its own world; its exit status.

    It ends when the other side of the channel closes, and when its processes together hold more than they may: then
    the status is NO_MEMORY. What `refuse` gives is the status where nothing of the work was done, for this reason.
    """
    root = os.geteuid() == 0
    os.umask(0o022)
    try:
        _call("unshare", NEWPID if root else NEWUSER | NEWPID)
        if not root:
            _name_user(os.open("/proc/self", os.O_PATH), os.geteuid(), os.getegid())
    except OSError as error:
        return refuse(error)
    child = os.fork()
    if not child:
        os._exit(_inside(cell, work, refuse, root=root))
    return _outlive(child, cell)


def _inside(
    cell: Cell, work: Callable[[], int], refuse: Callable[[OSError], int], *, root: bool
) -> int:
    os.setsid()  # a signal to its group reaches nobody outside
    try:
        _confine(cell.files, root=root)
        _limit(cell.mebibytes)
    except OSError as error:
        return refuse(error)
    return work()


def _outlive(child: int, cell: Cell) -> int:
    """Wait for the first process inside, and end it, and all others with it, when it is time; a status."""
    status = None
    ended = select.poll()
    ended.register(handle := os.pidfd_open(child), select.POLLIN)
    ended.register(cell.life, 0)  # its hanging up is told unasked
    while status is None:
        ready = dict(ended.poll(LOOK * 1000))
        if handle in ready:
            break
        if cell.life in ready:
            status = -signal.SIGKILL
        elif _held(child) > cell.mebibytes << 20:
            status = NO_MEMORY
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)  # the kernel ends all others of its cell
    own = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return own if status is None else status


def _held(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold now."""
    with suppress(OSError, ValueError, IndexError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_held, _children(pid)))
    return 0


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            yield from map(int, (thread / "children").read_text(encoding="ascii").split())


def _confine(files: Mapping[str, str], *, root: bool) -> None:
    """Leave everything behind but Python and the files; raises OSError."""
    system = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    own = os.open("self", os.O_PATH | os.O_DIRECTORY, dir_fd=system)
    _call("unshare", NEWNS | NEWNET | NEWIPC | NEWUTS)
    _change_root(files)
    if root:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _call("prctl", DUMPABLE, 1, 0, 0, 0)  # else its own names in /proc are root's
        _call("unshare", NEWUSER)
        _name_user(own, NOBODY, NOBODY)
    with suppress(OSError):  # read-only in many containers; one inside another would see no more
        _write("sys/user/max_user_namespaces", "0", system)
    os.close(own)
    os.close(system)
    _drop_privileges()


def _name_user(own: int, user: int, group: int) -> None:
    """Give the user of this process a name inside its new namespace of users."""
    _write("setgroups", "deny", own)
    _write("uid_map", f"{INSIDE} {user} 1", own)
    _write("gid_map", f"{INSIDE} {group} 1", own)


def _write(name: str, text: str, folder: int) -> None:
    handle = os.open(name, os.O_WRONLY, dir_fd=folder)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def _change_root(files: Mapping[str, str]) -> None:
    """A root of its own in memory, in which Python can be read, and files of these texts."""
    _call("mount", None, b"/", None, RECURSIVE | PRIVATE, None)
    seen = [path for path in _seen() if os.path.lexists(path)]
    handles = {path: os.open(path, os.O_PATH) for path in seen if not path.is_symlink()}
    links = {path: path.readlink() for path in seen if path.is_symlink()}
    _call("mount", b"none", ROOT.encode(), b"tmpfs", NOSUID | NODEV, SPACE.encode())
    for path, handle in handles.items():
        _show(path, handle)
    for path, target in links.items():
        if not os.path.lexists(_within(path)):
            _within(path).parent.mkdir(parents=True, exist_ok=True)
            _within(path).symlink_to(target)
    Path(ROOT + PLACE).mkdir(exist_ok=True)  # Python itself may lie below, as it may below /tmp
    for name, text in files.items():
        Path(ROOT + PLACE, name).write_text(text, encoding="utf-8")
    Path(ROOT, "tmp").mkdir(exist_ok=True)
    Path(ROOT, "tmp").chmod(0o1777)  # the only place that it may write to
    os.chdir(ROOT)
    _call("syscall", PIVOT_ROOT.get(platform.machine(), -1), b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir("/tmp")  # noqa: S108


def _seen() -> list[Path]:
    """What Python needs; of its folders only what it made itself, as an installation may lie in one."""
    prefixes = dict.fromkeys((Path(sys.base_prefix), Path(sys.prefix)))
    own = [prefix / name for prefix in prefixes for name in OF_PYTHON]
    return list(dict.fromkeys([*map(Path, SYSTEM), *map(Path, ALSO), *own]))


def _within(path: Path) -> Path:
    """Where it is seen, before the root is changed."""
    return Path(ROOT + str(path))


def _show(path: Path, handle: int) -> None:
    """The same file or folder inside, to be read and no more."""
    inside = _within(path)
    if os.path.lexists(inside):  # below another one that is shown already
        os.close(handle)
        return
    if Path(f"/proc/self/fd/{handle}").is_dir():
        inside.mkdir(parents=True)
    else:
        inside.parent.mkdir(parents=True, exist_ok=True)
        inside.touch()
    shown = os.fsencode(inside)
    _call("mount", f"/proc/self/fd/{handle}".encode(), shown, None, BIND | RECURSIVE, None)
    os.close(handle)
    if Path("/dev") not in path.parents:
        rights = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
        _call("syscall", MOUNT_SETATTR, -100, shown, RECURSIVELY, rights, ctypes.sizeof(rights))


def _drop_privileges() -> None:
    """Have no capability, and no way to gain one by a program that lends it."""
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    for number in range(64):
        with suppress(OSError):  # there are no more
            _call("prctl", DROP_BOUND, number, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    _call("capset", header, none)
    _call("prctl", PARENT_DEATH, signal.SIGKILL, 0, 0, 0)


def _limit(mebibytes: int) -> None:
    """Limits of one process, and of how many there are."""
    os.nice(NICENESS)
    limits = {
        resource.RLIMIT_AS: mebibytes << 20,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_CORE: 0,
    }
    for which, most in limits.items():
        resource.setrlimit(which, (most, most))


_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    """A function of libc that says by -1 that it failed; raises OSError with its name."""
    long = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    function = getattr(_LIBC, name)
    function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
    if function(*long) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
