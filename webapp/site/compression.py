"""Pages and data smaller on their way; files are sent as they are."""

from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

TEXTS = ("text/html", "application/json")


class TextsCompressed(GZipMiddleware):
    """Compresses what templates and views wrote: a file keeps its length, and most are packed already.

    The token of a form is masked anew for every answer, and Django's own adds bytes of random number, so that
    the length says nothing of it.
    """

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """The answer, compressed if it is text that was made for this request."""
        kind = response.get("Content-Type", "").partition(";")[0]
        if response.streaming or kind not in TEXTS:
            return response
        return super().process_response(request, response)
