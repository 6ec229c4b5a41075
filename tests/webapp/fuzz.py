"""Requests that nobody means: whatever a path, a query, a form, a header or a file holds, an answer comes, and no error.

`test_fuzz.py` sends a sample of them, `make prove PART=fuzz` ten thousand as a person of every kind.
"""

import random
import time
from urllib.parse import quote

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client

from alignment.kinds import KINDS
from tests.webapp.addresses import addresses
from tests.webapp.asked import Browser
from webapp.site.notices import Notices

LONGEST = 60.0  # seconds that an answer may take
TOGETHER = 100  # requests that see each other's rows, before all is as it was
METHODS = ("GET", "GET", "GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS")
VALUES = [
    "", " ", "0", "1", "2", "3", "-1", "00", "1.5", "1e9", "1e400", "-1e400", "nan", "inf", "-inf", "٣", "²", "½",
    str(2**31), str(2**63 - 1), str(2**63), str(-(2**63) - 1), str(2**64), "9" * 30, "9" * 5000, "0x10", "1_000",
    "true", "null", "None", "on", "hub", "upload", "folder", "role", "remove", "cancel", "annotator", "align", "label",
    "\0", "a\0b", "\x1b[2J", "\u202eabc", "\u200b", "\ufeff", "\ud800", "e\u0301" * 50, "👩\u200d🔬", "ﷺ" * 200, "\u0131",
    "\r\nSet-Cookie: a=b", "\n", "a\r\nb", "../../etc/passwd", "/etc/passwd", "C:\\", "%00", "%", "%zz", "{{ 7*7 }}",
    "<script>alert(1)</script>", "' OR 1=1 --", "\"", "\\", "=1+1", "(" * 4000, "a{99999999999}", "(a+)+$", "[" * 20_000,
    '{"a":' * 5000, "{}", "[]", '{"a": NaN}', "2026-13-45", "0000-00-00", "9999-12-31T23:59:59Z", "1969-12-31", "x" * 100_000,
    "é" * 30_000, "a,b,,c", ",", ";;;", "0.5 contains she; 12 words", "1 matches (", "-1 words", "http://", "http://[::1", "https://a:b@c:99999/",
    "00000000-0000-0000-0000-000000000000", "0" * 32, "g" * 32, "prompts", "guess", "json",
]  # fmt: skip
RAW = [
    b"%ED%A0%80",
    b"%FF",
    b"%C0%80",
    b"%00",
    b"%F4%90%80%80",
    b"+",
    b"%",
    b"=&=&",
    b"a=%FE&b[]=1",
    b";",
]
# What only a program would send in the cookies that are ours.
COOKIES = f"{Notices.storage_classes[0].cookie_name}=x; {settings.SESSION_COOKIE_NAME}=x; {settings.CSRF_COOKIE_NAME}="
HEADERS = {
    "HTTP_HX_REQUEST": ["true", "\u00ff"], "HTTP_HX_TARGET": VALUES[:20], "HTTP_HX_CURRENT_URL": ["http://[", "\u00e9"],
    "HTTP_HX_CURRENT_URL_URI_AUTOENCODED": ["true"], "HTTP_ACCEPT": ["application/json", "*/*;q=nan", ","],
    "HTTP_ACCEPT_LANGUAGE": ["xx", "en-" + "a" * 500, ",;q=", "de;q=1e400"], "HTTP_ACCEPT_ENCODING": ["gzip;q=0", "\u00ff", "br,zstd"],
    "HTTP_IF_MODIFIED_SINCE": ["0", "Sat, 99 Foo 9999 99:99:99 GMT"], "HTTP_IF_NONE_MATCH": ['W/"', "*", '"' * 50],
    "HTTP_RANGE": ["bytes=-1", "bytes=9-1", "bytes=0-9999999999999999999"], "HTTP_SCRIPT_NAME": ["/x", "\u00ff"],
    "HTTP_X_FORWARDED_FOR": ["1.2.3.4,, x", "\u00ff"], "HTTP_X_FORWARDED_PROTO": ["https", "ftp"], "HTTP_REFERER": ["http://[", "x"],
    "HTTP_ORIGIN": ["null", "http://["], "HTTP_USER_AGENT": ["", "x" * 10_000], "CONTENT_TYPE": ["text/plain", "multipart/form-data",
    "multipart/form-data; boundary=", "application/x-www-form-urlencoded; charset=utf-7", "application/json", "a" * 500],
    "HTTP_COOKIE": ["a", "=", COOKIES, COOKIES.replace("=", "=\u00ff")], "HTTP_HOST": ["testserver:1"], "HTTP_X_CSRFTOKEN": ["\u00ff"],
}  # fmt: skip
FILES = [
    b"",
    b"\0" * 1000,
    b"PK\x03\x04" + b"\x1f" * 200,
    b"\x1f\x8b\x08",
    b"PAR1" * 20,
    b"\xff\xfe\x00",
    b'"a"\n',
    b"{}",
    b"[" * 10_000,
    b"prompt\na\n",
]


class Fuzz:
    """A person who sends what no page would, drawn from a seed; a bad answer is kept with what was sent."""

    def __init__(self, there, session, seed):
        self.chance = random.Random(seed)
        self.worlds, self.all = there, addresses()
        self.browser = Browser(session)
        self.bad: list[str] = []
        self.slowest = 0.0

    def send(self, number):
        """So many requests, whose rows are taken back now and then."""
        for start in range(0, number, TOGETHER):
            with transaction.atomic():
                for _ in range(min(TOGETHER, number - start)):
                    self.one()
                transaction.set_rollback(True)

    def one(self):
        """One request, in a transaction of its own as the server's are."""
        address, method = self.chance.choice(self.all), self.chance.choice(METHODS)
        client = self.browser.client(address.name)
        path, query = self.path(address), self.query(address.name)
        data = self.form(address.name) if method == "POST" else b""
        began = time.monotonic()
        try:
            with transaction.atomic():
                answer = client.generic(
                    method, path, QUERY_STRING=query, **self.about(method, data)
                )
                if answer.streaming:
                    b"".join(answer)
                if address.name.startswith("account"):
                    transaction.set_rollback(True)  # whoever signed out is here again
            status = answer.status_code
        except Exception as error:
            status = f"{type(error).__name__}: {error}"[:200]
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        if not isinstance(status, int) or status >= 500 or took > LONGEST:
            self.bad.append(
                f"{status} after {took:.1f} s: {method} {path[:120]}?{query[:200]} {str(data)[:300]}"
            )

    def path(self, address):
        """Where it is, with rows of this world, of another, or with none that there can be."""
        world = self.chance.choices(self.worlds, (4, 1))[0]
        parts = world.parts | world.own.get(address.name, {})
        path = address.of(parts)
        for part in address.parts:
            if self.chance.random() < 0.15:
                path = path.replace(
                    f"/{parts[part]}/", f"/{quote(self.value()[:200], errors='surrogatepass')}/", 1
                )
        return path

    def query(self, name):
        """Its own names with any values, and now and then what is no query."""
        if self.chance.random() < 0.1:
            return self.chance.choice(RAW).decode()
        kind = f"kind={self.chance.choice(list(KINDS))}&" if name.startswith("runs:") else ""
        return kind + self.encoded(name, "GET", 0.4)

    def form(self, name):
        """Its own names with any values."""
        return (self.encoded(name, "POST", 0.8) + "&x=1").encode()

    def encoded(self, name, place, share):
        names = [*sorted(self.browser.handler.asked[name, place]), "page", "key", "x\0"]
        taken = [each for each in names if self.chance.random() < share]
        return "&".join(f"{quoted(each)}={quoted(self.value())}" for each in taken)

    def value(self):
        """Anything, or the number of a row somewhere."""
        if self.chance.random() < 0.25:
            return str(self.chance.choice(list(self.chance.choice(self.worlds).parts.values())))
        return self.chance.choice(VALUES)

    def about(self, method, data):
        """Body and headers."""
        headers = {
            name: self.chance.choice(values)
            for name, values in HEADERS.items()
            if self.chance.random() < 0.04
        }
        if method == "POST" and self.chance.random() < 0.1:
            file = SimpleUploadedFile("f", self.chance.choice(FILES))
            file._name = self.value()[:80].replace("\ud800", "") or "f"  # as a browser may send it
            body = Client()._encode_data({"file": file, "files": file}, MULTIPART)
            return {"data": body, "content_type": MULTIPART} | headers
        kind = headers.pop("CONTENT_TYPE", "application/x-www-form-urlencoded")
        return {"data": data, "content_type": kind} | headers


MULTIPART = "multipart/form-data; boundary=BoUnDaRyStRiNg"


def quoted(text):
    return quote(text, safe="", errors="surrogatepass")
