"""Names of accounts: two that a reader takes for one are one, and none pretends to be another."""

import unicodedata
from functools import cache

from confusable_homoglyphs import categories, confusables
from django.db import models
from django.utils.translation import gettext as _

from webapp.accounts.errors import AccountError
from webapp.rendering.names import Text, visible

LONGEST = 150  # as Django keeps a name
NOBODYS = ":"  # in names of accounts that nobody signs in to, which no form takes
ANY = {"COMMON", "INHERITED"}
# Scripts that are written together, by the highly restrictive level of Unicode's TR 39.
TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)


class NameForm(Text):
    """The form of an account's name, made whenever its row is."""

    def pre_save(self, model_instance: models.Model, add: bool) -> str:  # noqa: FBT001 - as Django has it
        """The form of the name that is stored beside it."""
        form = name_form_of(model_instance.username)  # type: ignore[attr-defined]  # it is a User's
        setattr(model_instance, self.attname, form)
        return form


def name_form_of(name: str) -> str:
    """What is the same for all names that look or sound like this one, and unique among accounts."""
    if NOBODYS in name:
        return name
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = "".join(map(_latin, folded))
    return _trimmed(seen) or seen


def check_name(name: str) -> None:
    """Raise AccountError for a name that could be taken for what it is not."""
    if len(name_form_of(name)) > LONGEST:
        raise AccountError(_("This name is too long once it is written out; choose a shorter one."))
    if not any(sign.isalnum() for sign in name) or visible(name) != name:
        raise AccountError(_("A name has a letter or a digit, and nothing that cannot be seen."))
    scripts = {_script(sign) for sign in unicodedata.normalize("NFKC", name)} - ANY
    if len(scripts) > 1 and not any(scripts <= group for group in TOGETHER):
        raise AccountError(
            _(
                "This name mixes letters of several scripts, some of which look alike; "
                "write it in one of them."
            )
        )


def _trimmed(text: str) -> str:
    """The text without what is no letter and no digit at its ends."""
    inside = [place for place, sign in enumerate(text) if sign.isalnum()]
    return text[inside[0] : inside[-1] + 1] if inside else ""


@cache
def _script(sign: str) -> str:
    return str(categories.alias(sign))


@cache
def _latin(sign: str) -> str:
    """The Latin letter that looks like this letter of another script, where there is one."""
    if not sign.isalpha() or _script(sign) == "LATIN":
        return sign
    alike = [one["c"] for one in confusables.confusables_data.get(sign, ())]
    return next(
        (one for one in sorted(alike) if one.isascii() and one.isalpha() and len(one) == 1), sign
    ).lower()
