"""Names that users chose, in texts for language models."""

import json
import re

_PLAIN = re.compile(r"[\w.:#>+*/()-]+")


def quoted(name: str) -> str:
    """A name in quotes, on one line whatever it holds, as JSON has it."""
    return json.dumps(name, ensure_ascii=not name.isprintable())


def named(name: str) -> str:
    """A name as it is if it is a plain word, else in quotes: it is not to be taken for text."""
    return name if _PLAIN.fullmatch(name) else quoted(name)
