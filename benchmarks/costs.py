"""What a request costs the program that answers it, told in the answer's own headers."""

from collections.abc import Callable
from time import thread_time

from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test.utils import CaptureQueriesContext

COST = "X-Cost"  # ms of the processor, from before all middleware to the rendered answer
QUERIES = (
    "X-Queries"  # statements, BEGIN and COMMIT too, where the request asks for them by this header
)


class Costs:
    """Measures in the thread that answers, so that nothing else on the machine counts."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The answer, with its cost."""
        started = thread_time()
        response = (
            self._counted(request) if QUERIES in request.headers else self.get_response(request)
        )
        response[COST] = f"{1000 * (thread_time() - started):.3f}"
        return response

    def _counted(self, request: HttpRequest) -> HttpResponse:
        with CaptureQueriesContext(connection) as seen:
            response = self.get_response(request)
        response[QUERIES] = str(len(seen))
        return response
