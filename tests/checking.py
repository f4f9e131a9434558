"""The type checker of the test session, named by string in ``conftest.py``."""

from beartype import BeartypeConf, beartype

# With the numeric tower of PEP 484, as for pyright: an int will do where a float is asked for.
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
