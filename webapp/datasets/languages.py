"""In which language a text is, by its letters: offline, and only where there is enough of it."""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

SHORTEST = 20  # characters
SURE = 0.8  # probability
READ = 400  # characters


def language_of(text: str) -> str:
    """The ISO 639-1 code of a text's language; "" where it is too short or nobody can tell."""
    read = " ".join(text.split())[:READ]
    if len(read) < SHORTEST:
        return ""
    code, probability = _identifier().classify(read)
    return str(code) if probability >= SURE else ""


@cache
def _identifier() -> LanguageIdentifier:
    """What tells; it is loaded once a process, and only where there is something to tell."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
