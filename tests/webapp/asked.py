"""What views ask a request for: the names of their query's and their form's fields, found out by watching."""

from collections import defaultdict
from contextlib import suppress

from django.core.exceptions import BadRequest, RequestDataTooBig, TooManyFieldsSent
from django.http import QueryDict
from django.http.multipartparser import MultiPartParserError
from django.test.client import ClientHandler

from tests.webapp.addresses import client_with

READS_FILES = (
    "registry:upload",
    "datasets:import",
    "datasets:corpora",
    "datasets:texts",
)  # these say first how large they may be
Asked = dict[tuple[str, str], set[str]]  # by address, and by "GET" (its query) or "POST" (its form)


class Watched(QueryDict):
    """Notes each name that somebody asks for."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.names = set()

    def watching(self, names):
        self.names = names
        return self

    def get(self, key, default=None):
        self.names.add(key)
        return super().get(key, default)

    def getlist(self, key, default=None):
        self.names.add(key)
        return super().getlist(key, default)

    def __getitem__(self, key):
        self.names.add(key)
        return super().__getitem__(key)

    def __contains__(self, key):
        self.names.add(key)
        return super().__contains__(key)


class WatchingHandler(ClientHandler):
    """Serves requests whose fields are watched."""

    def __init__(self):
        super().__init__(enforce_csrf_checks=False)
        self.asked: Asked = defaultdict(set)
        self.name = ""  # of the address that is asked now

    def get_response(self, request):
        request.GET = watched(request.GET, self.asked[self.name, "GET"])
        if request.method == "POST" and self.name not in READS_FILES:
            with suppress(
                BadRequest, MultiPartParserError, RequestDataTooBig, TooManyFieldsSent
            ):  # the view's to meet
                request._load_post_and_files()
                request._post = watched(request._post, self.asked[self.name, "POST"])
        return super().get_response(request)


def watched(fields, names):
    """The same fields, watched."""
    copy = Watched(mutable=True, encoding=fields.encoding).watching(names)
    for name, values in fields.lists():
        copy.setlist(name, values)
    copy._mutable = False
    return copy


class Browser:
    """Sends each request with this session, whatever an answer before has said of its cookies."""

    def __init__(self, session):
        self.session, self.handler = session, WatchingHandler()

    def client(self, name):
        """For a request to the address of this name."""
        client = client_with(self.session)
        client.handler, self.handler.name = self.handler, name
        return client
