"""Every variable that Attune's programs read of their environment: its default, what it takes, what it may be.

A value is looked at as far as one machine can: whether a database or a broker answers is a state, told elsewhere.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import dj_database_url
from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo
from pydantic import AfterValidator, BeforeValidator, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from alignment.seam.modelfiles import printable
from alignment.seam.variables import EngineVariables, List, fields, variable

BASE_DIR = Path(__file__).resolve().parent.parent
# What programs tell those they start, and what tests set: nobody's to set by hand.
INTERNAL = {
    "ATTUNE_GUARD",
    "ATTUNE_KEY_HANDLE",
    "ATTUNE_PROGRAMS",
    "ATTUNE_WORKER",
    "ATTUNE_KEPT_BY",
} | {
    "ATTUNE_CHROMIUM",
    "ATTUNE_TRAINERS",
}
SQLITE, POSTGRESQL = "sqlite", ("postgres", "postgresql", "pgsql")
SQLITE_ENGINE = "webapp.machine.sqlite"
LASTING = {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}  # of a connection
OF_DJANGO = {"isolation_level", "server_side_binding", "assume_role"}  # not of libpq
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
HOST = re.compile(rf"\.?{LABEL}(\.{LABEL})*\.?", re.IGNORECASE)
DAY = 86400
PETABYTE = 1_000_000  # in GiB, more or less


def writable(folder: Path) -> Path:
    """The folder, made where it is missing; raises ValueError where nothing can be written into it."""
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"is “{printable(str(folder))}”, which {_failed(error)}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"is “{printable(str(folder))}”, into which nothing can be written")
    return folder


def _failed(error: OSError) -> str:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return "is a file, or lies below one"
    return f"cannot be made ({error.strerror})"


def database(url: str) -> dict[str, Any]:
    """A database as Django names it; raises ValueError where this is none for us."""
    scheme = url.partition(":")[0]
    if scheme not in (SQLITE, *POSTGRESQL):
        raise ValueError("names a kind of database that Attune does not know")
    try:
        found = dj_database_url.parse(url)
    except ValueError as error:
        raise ValueError("is no address") from error
    if scheme == SQLITE:
        return in_file(_file(str(found["NAME"])))
    if not found["NAME"]:
        raise ValueError("names no database on its server")
    _check_options(found.get("OPTIONS", {}))
    return {**found, **LASTING}


def in_file(place: Path) -> dict[str, Any]:
    """An SQLite database as Django names it."""
    return {"ENGINE": SQLITE_ENGINE, "NAME": str(place), **LASTING}


def _file(name: str) -> Path:
    """The file of an SQLite database, the same for all programs wherever they start."""
    if name == ":memory:":
        raise ValueError("keeps everything in memory, which several programs cannot share")
    place = BASE_DIR / name
    if place.is_dir() or not place.parent.is_dir():
        raise ValueError(f"names “{printable(name)}”, which is a folder or lies in none")
    if not os.access(place if place.exists() else place.parent, os.W_OK):
        raise ValueError(f"names “{printable(name)}”, which cannot be written")
    return place


def _check_options(options: Mapping[str, Any]) -> None:
    told = {name: value for name, value in options.items() if name not in OF_DJANGO}
    try:
        make_conninfo(**told)
    except ProgrammingError as error:
        raise ValueError("has an option that PostgreSQL does not know") from error


def _database(url: str | None) -> str | None:
    if url is not None:
        database(url)
    return url


def _broker(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        found = urlsplit(url)
        port = found.port if found.scheme in ("redis", "rediss") else 0
    except ValueError as error:
        raise ValueError("is no address") from error
    on_socket = found.scheme == "redis+socket" and found.path.strip("/")
    on_host = found.scheme in ("redis", "rediss") and found.hostname
    if port == 0 and found.scheme in ("redis", "rediss"):
        raise ValueError("names port 0")
    if not on_socket and not (on_host and re.fullmatch(r"/?[0-9]{0,4}", found.path)):
        raise ValueError("is no address of a Redis server")
    return url


def _hosts(listed: tuple[str, ...]) -> tuple[str, ...]:
    for host in listed:
        if host != "*" and not HOST.fullmatch(host) and not _is_address(host):
            raise ValueError(f"names “{printable(host)}”, which is no host")
    return listed


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host[1:-1] if host.startswith("[") and host.endswith("]") else "")
    except ValueError:
        return False
    return True


def _networks(listed: tuple[str, ...]) -> tuple[str, ...]:
    for network in listed:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(f"names “{printable(network)}”, which is no network") from error
    return listed


def _names(listed: tuple[str, ...]) -> tuple[str, ...]:
    for name in listed:
        if not NAME.fullmatch(name):
            raise ValueError(f"holds “{printable(name)}”, which is no name of a variable")
    return listed


def _by_path(value: object) -> object:
    return tuple(filter(None, value.split(os.pathsep))) if isinstance(value, str) else value


def _folders(listed: tuple[str, ...]) -> tuple[str, ...]:
    for folder in listed:
        if not Path(folder).is_absolute() or Path(folder).is_file():
            raise ValueError(f"names “{printable(folder)}”, which is no folder's whole path")
    return listed


def _secret(value: str) -> str:
    if value and len(value) < 16:
        raise ValueError("is too short to be a secret")
    return value


def _name(value: str) -> str:
    if value and not re.fullmatch(r"[a-z0-9-]{1,32}", value):
        raise ValueError(f"is “{printable(value)}”, which no name of a cookie can end with")
    return value


def _mail_host(value: str) -> str:
    bare = value.strip("[]")
    if value and not HOST.fullmatch(value) and not _is_address(f"[{bare}]"):
        raise ValueError(f"is “{printable(value)}”, which is no host")
    return bare


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"[!-?A-~]{1,64}@[A-Za-z0-9.-]{1,255}", value):
        raise ValueError(f"is “{printable(value)}”, which is no address")
    return value


def _sign_in_server(value: str) -> str:
    if not value:
        return value
    try:
        found = urlsplit(value)
    except ValueError as error:
        raise ValueError("is no address") from error
    if found.scheme != "https" or not HOST.fullmatch(found.hostname or "") or found.query:
        raise ValueError(f"is “{printable(value)}”, which is no https:// address")
    return value.rstrip("/")


def _visible(value: str) -> str:
    if not re.fullmatch(r"[!-~]*", value):
        raise ValueError("holds what is no visible sign of ASCII")
    return value


class Variables(EngineVariables):
    """All variables of Attune, also those of the engine, as trainers get them from us."""

    var: Annotated[Path, AfterValidator(writable)] = variable(
        "ATTUNE_VAR", BASE_DIR / "var", shown="`var/`", takes="a folder"
    )
    database_url: Annotated[str | None, AfterValidator(_database)] = variable(
        "DATABASE_URL", None, shown="SQLite in `ATTUNE_VAR`", secret=True,
        takes="postgres://user:password@host:port/name, or sqlite:////path/file in a folder that is there",
    )  # fmt: skip
    redis_url: Annotated[str | None, AfterValidator(_broker)] = variable(
        "REDIS_URL", None, shown="a server of its own", secret=True,
        takes="redis://host:port/number, rediss:// with TLS, or redis+socket:///path",
    )  # fmt: skip
    secret_key: Annotated[str, AfterValidator(_secret)] = variable(
        "ATTUNE_SECRET_KEY", "", shown="a file in `ATTUNE_VAR`", secret=True,
        takes="16 characters or more that nobody can guess",
    )  # fmt: skip
    name: Annotated[str, AfterValidator(_name)] = variable(
        "ATTUNE_NAME", "", shown="drawn from the secret key", takes="1 to 32 of a-z, 0-9 and -"
    )
    debug: bool = variable("ATTUNE_DEBUG", default=False)
    hosts: Annotated[List, AfterValidator(_hosts)] = variable(
        "ATTUNE_HOSTS", ("localhost", "127.0.0.1", "[::1]"), shown="`localhost,127.0.0.1,[::1]`",
        takes="names without https:// and port, by commas",
    )  # fmt: skip
    https: bool = variable("ATTUNE_HTTPS", default=False)
    proxies: int = variable("ATTUNE_PROXIES", 0, within=(0, 10))
    webs: int = variable("ATTUNE_WEBS", 0, within=(0, 64))
    import_limit: float = variable("ATTUNE_IMPORT_LIMIT_MB", 200, within=(0.001, PETABYTE))
    threads: int = variable(
        "ATTUNE_THREADS", os.cpu_count() or 1, shown="all cores", within=(1, 4096)
    )
    gpus: int = variable("ATTUNE_GPUS", 1, within=(1, 1024))
    trainer_variables: Annotated[List, AfterValidator(_names)] = variable(
        "ATTUNE_TRAINER_VARIABLES", (), shown="none", takes="names of variables, by commas"
    )
    spare: bool = variable("ATTUNE_SPARE", default=True)
    disk_reserve: float = variable("ATTUNE_DISK_RESERVE_GIB", 1, within=(0, PETABYTE))
    model_folders: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(_by_path), AfterValidator(_folders)
    ] = variable(
        "ATTUNE_MODEL_FOLDERS", (), shown="none", takes="whole paths, separated like `PATH`"
    )
    model_gib: float = variable("ATTUNE_MODEL_GIB", 20, within=(0.001, PETABYTE))
    webhook_networks: Annotated[List, AfterValidator(_networks)] = variable(
        "ATTUNE_WEBHOOK_NETWORKS", (), shown="none", takes="networks such as 10.1.0.0/16, by commas"
    )

    mail_host: Annotated[str, AfterValidator(_mail_host)] = variable(
        "ATTUNE_MAIL_HOST", "", shown="none", takes="the name or address of a mail server"
    )
    mail_port: int = variable("ATTUNE_MAIL_PORT", 587, within=(1, 65535))
    mail_security: Literal["starttls", "tls", "none"] = variable(
        "ATTUNE_MAIL_SECURITY", "starttls", shown="starttls", takes="starttls, tls or none"
    )
    mail_user: Annotated[str, AfterValidator(_visible)] = variable(
        "ATTUNE_MAIL_USER", "", shown="none", takes="visible signs of ASCII"
    )
    mail_password: Annotated[str, AfterValidator(_visible)] = variable(
        "ATTUNE_MAIL_PASSWORD", "", shown="none", takes="visible signs of ASCII", secret=True
    )
    mail_from: Annotated[str, AfterValidator(_mail_address)] = variable(
        "ATTUNE_MAIL_FROM", "attune@localhost", shown="attune@localhost", takes="an e-mail address"
    )

    oidc_url: Annotated[str, AfterValidator(_sign_in_server)] = variable(
        "ATTUNE_OIDC_URL", "", shown="none", takes="an https:// address"
    )
    oidc_client: Annotated[str, AfterValidator(_visible)] = variable(
        "ATTUNE_OIDC_CLIENT", "", shown="none", takes="visible signs of ASCII"
    )
    oidc_secret: Annotated[str, AfterValidator(_visible)] = variable(
        "ATTUNE_OIDC_SECRET", "", shown="none", takes="visible signs of ASCII", secret=True
    )
    oidc_name: str = variable(
        "ATTUNE_OIDC_NAME", "my organisation", shown="my organisation", takes="a few words"
    )
    oidc_signup: bool = variable("ATTUNE_OIDC_SIGNUP", default=False)

    run_renew: float = variable("ATTUNE_RUN_RENEW", 10, within=(0.01, DAY))
    run_lease: float = variable("ATTUNE_RUN_LEASE", 60, within=(0.01, DAY))
    run_poll: float = variable("ATTUNE_RUN_POLL", 1, within=(0.01, 60))
    run_reap: float = variable("ATTUNE_RUN_REAP", 15, within=(0.01, DAY))
    run_ring: float = variable("ATTUNE_RUN_RING", 10, within=(0.01, DAY))
    run_backoff: float = variable("ATTUNE_RUN_BACKOFF", 30, within=(0, DAY))
    run_stop_grace: float = variable("ATTUNE_RUN_STOP_GRACE", 60, within=(0.01, DAY))
    job_renew: float = variable("ATTUNE_JOB_RENEW", 1, within=(0.01, DAY))
    job_lease: float = variable("ATTUNE_JOB_LEASE", 120, within=(0.01, DAY))
    live_idle: float = variable("ATTUNE_LIVE_IDLE", 600, within=(1, DAY))
    live_patience: float = variable("ATTUNE_LIVE_PATIENCE", 120, within=(1, DAY))

    @field_validator("run_lease", "job_lease")
    @classmethod
    def _outlasts(cls, lease: float, info: ValidationInfo) -> float:
        """A lease is renewed before it is over; raises ValueError."""
        kind = str(info.field_name).partition("_")[0]
        renew = info.data.get(f"{kind}_renew", 0)
        if lease < 2 * renew:
            name = f"ATTUNE_{kind.upper()}_RENEW"
            raise ValueError(f"is {lease:g}, less than twice {name} ({renew:g})")
        return lease


def unknown(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each variable of our name that no program of ours reads."""
    known = fields(Variables)
    ours = {name for name in environment if name.startswith("ATTUNE_")}
    return [
        f"{printable(name)} is no variable of Attune{_near(name, known)}"
        for name in sorted(ours - known.keys() - INTERNAL)
    ]


def _near(name: str, known: Mapping[str, object]) -> str:
    found = difflib.get_close_matches(name, known, n=1)
    return f"; perhaps {found[0]} is meant." if found else "."
