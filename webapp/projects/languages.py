"""In which language a text is, by its letters: offline, and only where there is enough of it."""

from functools import cache

from babel import Locale
from django.conf.locale import LANG_INFO
from py3langid.langid import MODEL_FILE, LanguageIdentifier

SHORTEST = 20  # characters
SURE = 0.8  # probability
READ = 400  # characters
NO_LANGUAGE = "zxx"  # numbers and signs
CODES = (
    "ace af am an ar ary arz as az ba bcl be bg bn br bs ca crh cs cy da de dz el en eo es et eu ext fa fi fo fr "
    "fuv fy ga gcf gcr gd gl gom grc gu gug guw ha hbo he hi hr ht hu hy id ig is it ja jv ka kab kik kk km kn ko "
    "ku ky la lb lg lij ln lo lt ltg lv mg mk ml mn mr ms mt my ne nl nn no nso oc om or pa pcm pl ps pt qu ro ru "
    "rw sa sdh se si sk sl sn so sq sr st sv sw ta te tg th tk tl tr tt ug uk ur uz uzs vec vi vo wa wuu xh yo "
    "yue zh zu"
)  # that `language_of` tells
OTHER_NAMES = {
    **Locale("en").languages,
    "zh": "中文",
    "bcl": "Central Bikol",
    "fuv": "Nigerian Fulfulde",
    "gcf": "Guadeloupean Creole",
    "gcr": "Guianese Creole",
    "gom": "Goan Konkani",
    "gug": "Paraguayan Guarani",
    "guw": "Gun",
    "hbo": "Ancient Hebrew",
    "kik": "Kikuyu",
    "uzs": "Southern Uzbek",
}
# What each calls itself, else its name in English; by their names.
LANGUAGES = dict(
    sorted(
        (
            (code, LANG_INFO.get(code, {}).get("name_local") or OTHER_NAMES.get(code, code))
            for code in CODES.split()
        ),
        key=lambda named: named[1].casefold(),
    )
)


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language; "" where it is too short or nobody can tell."""
    read = " ".join(text.split())[:READ]
    if len(read) < SHORTEST:
        return ""
    code, probability = _identifier().classify(read)
    return str(code) if probability >= SURE and code != NO_LANGUAGE else ""


@cache
def _identifier() -> LanguageIdentifier:
    """What tells; it is loaded once a process, and only where there is something to tell."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
