"""``python -m leed_jax.commands``, where the script ``leed`` is not on the path."""

import sys

from leed_jax import commands

if __name__ == "__main__":
    sys.exit(commands.main())
