"""The nearest valid choice, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, choices: Iterable[str]) -> str:
    """Returns "; did you mean 'x'?" or, when nothing is near, "; choose one of a, b, c"."""
    choices = sorted(choices)
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; choose one of {', '.join(choices)}" if choices else ""
