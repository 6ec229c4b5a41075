"""Only what says otherwise may be kept between a person and the server."""

from django.http import HttpResponse

from webapp.site.privacy import PrivateAnswers


def said(**headers):
    answer = PrivateAnswers(lambda request: HttpResponse(headers=headers))(None)
    return answer["Cache-Control"]


def test_an_answer_is_private_and_asked_for_again():
    assert said() == "private, no-cache"


def test_an_answer_that_says_itself_keeps_its_word():
    assert said(**{"Cache-Control": "no-store"}) == "no-store"
