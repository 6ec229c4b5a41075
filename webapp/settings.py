"""One file of settings; production values are the defaults wherever that is safe.

What is read of the environment, and what each variable may be, is in webapp/variables.py.
"""

import hashlib
import hmac
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from csp.constants import NONE, SELF

from alignment.seam.errors import ConfigError
from alignment.seam.variables import read
from webapp.machine import guard
from webapp.variables import BASE_DIR, SQLITE_ENGINE, Variables, database, in_file, unknown


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
    """The one drawn at the first start and kept in a file only we can read.

    Raises ConfigError if the file is there and empty.
    """
    path = folder / "secret_key"
    if not path.exists():
        _draw_key(path)
    if key := path.read_text(errors="replace").strip():
        return key
    raise ConfigError(f"{path} is empty; remove it, and another is drawn.")


def _draw_key(path: Path) -> None:
    """Written aside and linked whole: programs that start at once share the first one's, and none reads half."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=".secret_key.") as file:
        file.write(secrets.token_urlsafe(50))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(file.name, path)


def name_from(key: str) -> str:
    """The name of an installation: what all its programs share, wherever they run, and no other one has."""
    return hmac.digest(key.encode(), b"attune.installation", "sha256").hex()[:12]


def broker_socket(folder: Path) -> Path:
    """The broker's socket in the folder, or elsewhere when its path is too long for a socket.

    All programs find the same one, whatever TMPDIR each of them was given.
    """
    path = folder / "broker.sock"
    if len(str(path)) < 100:
        return path
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path("/tmp") / f"attune-{name}.sock"  # noqa: S108 - its name is the folder's hash


try:
    variables = read(Variables)
    VAR = variables.var
    keep_private(VAR)
    SECRET_KEY = variables.secret_key or secret_key(VAR)
except ConfigError as error:
    sys.exit(str(error))  # whichever program this is, and a status of 1
except OSError as error:
    sys.exit(f"ATTUNE_VAR cannot be used: {error.strerror} ({error.filename}).")
INSTALLATION = variables.name or name_from(SECRET_KEY)
UNKNOWN_VARIABLES = unknown(os.environ)  # which `manage.py check` tells
DEBUG = variables.debug
HTTPS = variables.https
ALLOWED_HOSTS = list(variables.hosts)

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
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "csp",
    "webapp.site",
    "webapp.accounts",
    "webapp.audit",
    "webapp.projects",
    "webapp.rendering",
    "webapp.notifications",
    "webapp.artifacts",
    "webapp.jobs",
    "webapp.runs",
    "webapp.labeling",
    "webapp.webhooks",
    "webapp.quality",
    "webapp.datasets",
    "webapp.launch",
    "webapp.rounds",
    "webapp.sweeps",
    "webapp.home",
    "webapp.api",
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
    "webapp.site.languages.ReadersLanguage",
    "webapp.projects.archived.ReadOnly",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "webapp.machine.outages.Outages",
]

ROOT_URLCONF = "webapp.urls"
FORM_RENDERER = "webapp.site.renderer.Renderer"
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
                "webapp.site.notices.cookies",
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
    "default": database(variables.database_url)
    if variables.database_url
    else in_file(VAR / "attune.sqlite3")
}
RUN_LEASE = variables.run_lease  # s that a worker owns a run without a sign of life
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
if DATABASES["default"]["ENGINE"] == SQLITE_ENGINE:
    DATABASES["default"]["OPTIONS"] = SQLITE_OPTIONS
else:
    named = DATABASES["default"].get("OPTIONS", {})
    DATABASES["default"]["OPTIONS"] = {**VANISHED, "options": POSTGRES_OPTIONS, **named}
# Web programs that share one socket. SQLite has one writer at a time: more than two programs only wait for it.
ALONE = DATABASES["default"]["ENGINE"] == SQLITE_ENGINE
WEBS = variables.webs or min(2 if ALONE else 4, os.cpu_count() or 1)
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
TOKEN_FINDER = "webapp.api.tokens.find_token"  # noqa: S105 - a path: who a program is, before its request is whole
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_ADAPTER = "webapp.accounts.adapter.ClosedSignupAdapter"
# Simulated annotators log in together from one address; people share addresses in offices.
ACCOUNT_RATE_LIMITS = {"login": "120/m/ip", "login_failed": "10/m/ip,5/5m/key"}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_TOLERANCE = 1  # steps of 30 s by which a telephone's clock may be wrong
SOCIALACCOUNT_ADAPTER = "webapp.accounts.adapter.ProviderAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True  # our policy lets no form lead to another host; a link may
SOCIALACCOUNT_REAUTHENTICATION_REQUIRED = True  # before an account is connected
SOCIALACCOUNT_REQUESTS_TIMEOUT = 5  # seconds
OIDC_SIGNUP = variables.oidc_signup
OIDC_APP = {
    "provider_id": "oidc",
    "name": variables.oidc_name,
    "client_id": variables.oidc_client,
    "secret": variables.oidc_secret,
    "settings": {"server_url": variables.oidc_url},
}
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [OIDC_APP] if variables.oidc_url else [],
    }
}
ALLAUTH_TRUSTED_PROXY_COUNT = variables.proxies

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "cache",
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "webapp" / "languages"]
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
IMPORT_LIMIT = int(1e6 * variables.import_limit)
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
# Several installations may stand on one address, by other ports: cookies know of no ports.
SESSION_COOKIE_NAME = f"session_{INSTALLATION}"
CSRF_COOKIE_NAME = f"csrf_{INSTALLATION}"
LANGUAGE_COOKIE_NAME = f"language_{INSTALLATION}"
MESSAGE_STORAGE = "webapp.site.notices.Notices"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0

# Mail goes out only where a server is named; whoever wants none of it gets none (notifications/).
EMAIL_HOST = variables.mail_host
EMAIL_PORT = variables.mail_port
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = variables.mail_user, variables.mail_password
EMAIL_USE_TLS = variables.mail_security == "starttls"
EMAIL_USE_SSL = variables.mail_security == "tls"
EMAIL_TIMEOUT = 10  # seconds
DEFAULT_FROM_EMAIL = variables.mail_from

# The broker is a doorbell: it carries nothing that could be lost (runs/tasks.py).
BROKER_SOCKET = broker_socket(VAR)
OWN_BROKER = variables.redis_url is None
CELERY_BROKER_URL = variables.redis_url or f"redis+socket://{BROKER_SOCKET}?virtual_host=0"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True  # a busy worker leaves the bell to an idle one
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": f"attune-{INSTALLATION}:",  # others may share the server
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "max_retries": 0,  # a page does not wait for a broker that is away
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 0}

# How often a worker gives a sign of life, and what else takes turns (seconds).
RUN_RENEW = variables.run_renew
RUN_POLL = variables.run_poll
RUN_REAP = variables.run_reap
RUN_RING = variables.run_ring
RUN_BACKOFF = variables.run_backoff
RUN_STOP_GRACE = variables.run_stop_grace
RUN_THREADS = variables.threads
RUN_QUEUE = "runs"

# Short work for a person who waits for it, on a worker of its own (jobs/).
JOB_QUEUE = "short"
JOB_LEASE = variables.job_lease
JOB_RENEW = variables.job_renew

# Answers of models to a person who waits for them, by a program of that worker that keeps models in memory.
LIVE_QUEUE = "live"
LIVE_IDLE = (
    variables.live_idle
)  # s without a question after which it ends and gives its memory back
LIVE_PATIENCE = variables.live_patience  # s that an answer may take
RESIDENT = [sys.executable, "-m", "alignment", "answer"]
TRAINER_VARIABLES = variables.trainer_variables  # more that trainers get of our environment
GPUS = variables.gpus  # of this worker's machine that a run shares
TRAINER = [sys.executable, "-m", "alignment", "run"]
TRACKERS = variables.trackers  # what runs are told to beside their folder
SPARE = variables.spare  # whether a trainer waits for the next run
# Measures this machine for forecasts.
SPEED_COMMAND = [sys.executable, "-m", "alignment", "speed", "--threads", str(RUN_THREADS)]
SPARE_TRAINER = [sys.executable, "-m", "alignment", "spare"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python"]
# What torchrun starts are sessions of their own: each has a guard that watches the worker's pipe.
TRAINERS = [*TORCHRUN, f"--nproc-per-node={GPUS}", *guard.COMMAND, "--at-once", *TRAINER]
TRAINER_COMMAND = TRAINERS if GPUS > 1 else TRAINER
STORE = VAR / "store"
DISK_RESERVE_GIB = variables.disk_reserve  # that stay free whatever runs

# Models from outside: which folders of the worker may be added, and how large a model may be.
MODEL_FOLDERS = variables.model_folders
MODEL_GIB = variables.model_gib
HUB = variables.hub

# Private networks that webhooks may reach, http there too; they reach no other one.
WEBHOOK_NETWORKS = variables.webhook_networks

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
