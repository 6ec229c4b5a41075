"""One file of settings; production values are the defaults wherever that is safe.

Environment: ATTUNE_VAR (all state lives there), DATABASE_URL, REDIS_URL, ATTUNE_SECRET_KEY,
ATTUNE_HOSTS (comma-separated), ATTUNE_HTTPS, ATTUNE_DEBUG, ATTUNE_THREADS, ATTUNE_MODEL_FOLDERS
(separated like PATH), ATTUNE_MODEL_GIB, ATTUNE_HUB, ATTUNE_GPUS.
"""

import hashlib
import os
import secrets
import stat
import sys
from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from webapp.machine import guard


def env_bool(name: str, *, default: bool) -> bool:
    """A yes/no variable; anything but 0, 1, true or false is an error."""
    value = os.environ.get(name, str(default)).lower()
    if value not in {"0", "1", "true", "false"}:
        raise ImproperlyConfigured(f"{name} must be 0 or 1, not {value!r}.")
    return value in {"1", "true"}


def env_float(name: str, default: float) -> float:
    """A number of seconds or a count."""
    value = os.environ.get(name, str(default))
    try:
        return float(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number, not {value!r}.") from error


def keep_private(folder: Path) -> None:
    """Let nobody else on this machine read what we write, or wrote into this folder before.

    A folder that others share, as /tmp is, stays open: what is written into it is closed by itself.
    """
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    found = folder.stat()
    shared = found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid()
    if found.st_mode & 0o077 and not shared:
        folder.chmod(0o700)


def secret_key(folder: Path) -> str:
    """ATTUNE_SECRET_KEY, or one drawn at the first start and kept in a file only we can read."""
    if value := os.environ.get("ATTUNE_SECRET_KEY"):
        return value
    path = folder / "secret_key"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text()


def broker_socket(folder: Path) -> Path:
    """The broker's socket in the folder, or elsewhere when its path is too long for a socket.

    All programs find the same one, whatever TMPDIR each of them was given.
    """
    path = folder / "broker.sock"
    if len(str(path)) < 100:
        return path
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path("/tmp") / f"attune-{name}.sock"  # noqa: S108 - its name is the folder's hash


BASE_DIR = Path(__file__).resolve().parent.parent
VAR = Path(os.environ.get("ATTUNE_VAR", BASE_DIR / "var")).resolve()
keep_private(VAR)
SECRET_KEY = secret_key(VAR)
DEBUG = env_bool("ATTUNE_DEBUG", default=False)
HTTPS = env_bool("ATTUNE_HTTPS", default=False)
ALLOWED_HOSTS = os.environ.get("ATTUNE_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "template_partials",
    "allauth",
    "allauth.account",
    "csp",
    "webapp.site",
    "webapp.accounts",
    "webapp.projects",
    "webapp.rendering",
    "webapp.artifacts",
    "webapp.jobs",
    "webapp.runs",
    "webapp.labeling",
    "webapp.datasets",
    "webapp.launch",
    "webapp.rounds",
    "webapp.home",
    "webapp.operations",
    "webapp.demo",
]

MIDDLEWARE = [
    "webapp.machine.health.Health",  # before all that asks for a host, a scheme or a person
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "webapp.site.compression.TextsCompressed",
    "webapp.site.privacy.PrivateAnswers",  # static files are anybody's
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "webapp.projects.sessions.SignedIn",
    "webapp.home.polls.NothingNew",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "webapp.machine.outages.Outages",
]

ROOT_URLCONF = "webapp.urls"
WSGI_APPLICATION = "webapp.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "builtins": ["template_partials.templatetags.partials"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "webapp.projects.context.navigation",
            ],
        },
    },
]

# SQLite: WAL with IMMEDIATE transactions is what keeps many writers from "database is locked".
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{VAR / 'attune.sqlite3'}", conn_max_age=60, conn_health_checks=True
    )
}
RUN_LEASE = env_float("ATTUNE_RUN_LEASE", 60)  # s that a worker owns a run without a sign of life
# A program that sleeps in a transaction would keep its rows, and with them whoever takes runs back.
POSTGRES_OPTIONS = f"-c idle_in_transaction_session_timeout={RUN_LEASE * 1000:.0f}"  # ms
# A server that has vanished without a word is noticed (seconds, and milliseconds).
VANISHED = {
    "connect_timeout": 2,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
else:
    named = DATABASES["default"].get("OPTIONS", {})
    DATABASES["default"]["OPTIONS"] = {**VANISHED, "options": POSTGRES_OPTIONS, **named}
# Web programs that share one socket. SQLite has one writer at a time: a second program only waits for it.
ALONE = DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3"
WEBS = max(1, int(env_float("ATTUNE_WEBS", 1 if ALONE else min(4, os.cpu_count() or 1))))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
SESSION_ENGINE = "webapp.projects.sessions"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "webapp.accounts.adapter.ClosedSignupAdapter"
# Simulated annotators log in together from one address; people share addresses in offices.
ACCOUNT_RATE_LIMITS = {"login": "120/m/ip", "login_failed": "10/m/ip,5/5m/key"}
ALLAUTH_TRUSTED_PROXY_COUNT = int(env_float("ATTUNE_PROXIES", 0))

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "webapp.labeling.kinds.finders.CardScripts",
]
STATICFILES_DIRS: list[Path | tuple[str, Path]] = [BASE_DIR / "webapp" / "static"]
if (UPLOT := BASE_DIR / "node_modules" / "uplot" / "dist").is_dir():
    STATICFILES_DIRS.append(("uplot", UPLOT))
WHITENOISE_USE_FINDERS = True

# A file larger than this is dropped while it arrives; unpacked it may not be larger either.
IMPORT_LIMIT = int(1e6 * env_float("ATTUNE_IMPORT_LIMIT_MB", 200))
FILE_UPLOAD_HANDLERS = [
    "webapp.datasets.uploads.LimitedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "form-action": [SELF],
    }
}
CSRF_FAILURE_VIEW = "webapp.labeling.scripts.csrf_failure"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0

# The broker is a doorbell: it carries nothing that could be lost (runs/tasks.py).
BROKER_SOCKET = broker_socket(VAR)
CELERY_BROKER_URL = os.environ.get("REDIS_URL", f"redis+socket://{BROKER_SOCKET}?virtual_host=0")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True  # a busy worker leaves the bell to an idle one
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "max_retries": 0,  # a page does not wait for a broker that is away
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}

# How often a worker gives a sign of life, and what else takes turns (seconds).
RUN_RENEW = env_float("ATTUNE_RUN_RENEW", 10)
RUN_POLL = env_float("ATTUNE_RUN_POLL", 1)
RUN_REAP = env_float("ATTUNE_RUN_REAP", 15)
RUN_RING = env_float("ATTUNE_RUN_RING", 10)
RUN_BACKOFF = env_float("ATTUNE_RUN_BACKOFF", 30)
RUN_STOP_GRACE = env_float("ATTUNE_RUN_STOP_GRACE", 60)
RUN_THREADS = int(env_float("ATTUNE_THREADS", os.cpu_count() or 1))
RUN_QUEUE = "runs"

# Short work for a person who waits for it, on a worker of its own (jobs/).
JOB_QUEUE = "short"
JOB_LEASE = env_float("ATTUNE_JOB_LEASE", 120)
JOB_RENEW = env_float("ATTUNE_JOB_RENEW", 1)
GPUS = int(env_float("ATTUNE_GPUS", 1))  # of this worker's machine that a run shares
TRAINER = [sys.executable, "-m", "alignment", "run"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
# What torchrun starts are sessions of their own: each has a guard that watches the worker's pipe.
TRAINERS = [*TORCHRUN, f"--nproc-per-node={GPUS}", *guard.COMMAND, "--at-once", *TRAINER]
TRAINER_COMMAND = TRAINERS if GPUS > 1 else TRAINER
STORE = VAR / "store"
DISK_RESERVE_GIB = env_float("ATTUNE_DISK_RESERVE_GIB", 1)  # that stay free whatever runs

# Models from outside: which folders of the worker may be added, and how large a model may be.
MODEL_FOLDERS = list(filter(None, os.environ.get("ATTUNE_MODEL_FOLDERS", "").split(os.pathsep)))
MODEL_GIB = env_float("ATTUNE_MODEL_GIB", 20)
HUB = env_bool("ATTUNE_HUB", default=True)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "webapp.site.logs.PlainFormatter",
            "format": "{asctime} {levelname} {name}: {message}",
            "style": "{",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {name: {"level": "WARNING"} for name in ("httpx", "psycopg.pool")},
}
