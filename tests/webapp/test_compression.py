import gzip
import io

import pytest
from django.http import FileResponse, HttpResponse, JsonResponse
from django.test import RequestFactory

from webapp.site.compression import TextsCompressed

LONG = "a page of words " * 100


def sent(response):
    request = RequestFactory().get("/", headers={"accept-encoding": "gzip"})
    return TextsCompressed(lambda _: response)(request)


@pytest.mark.parametrize("response", [HttpResponse(LONG), JsonResponse({"text": LONG})])
def test_what_a_view_wrote_is_compressed(response):
    whole = response.content
    answer = sent(response)
    assert answer["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer["Vary"]
    assert gzip.decompress(answer.content) == whole
    assert len(answer.content) < len(whole) / 2


def test_the_same_page_has_not_the_same_length():
    assert len({len(sent(HttpResponse(LONG)).content) for _ in range(40)}) > 1


def test_a_file_is_sent_as_it_is_with_its_length():
    answer = sent(FileResponse(io.BytesIO(LONG.encode()), content_type="application/zip"))
    assert "Content-Encoding" not in answer
    assert answer["Content-Length"] == str(len(LONG))
    assert "Content-Encoding" not in sent(HttpResponse(LONG, content_type="text/csv"))
