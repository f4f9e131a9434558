"""One command from instructions to a report.

    python -m experiments.run
    python -m experiments.run --methods leed ippo bc --seeds 5 --train.total-steps 1000000
    python -m experiments.run scenario=mpe/simple_spread num_agents=4 train.num_envs=128

With no arguments: LEED and IPPO on simple_spread with 3 agents and 3 seeds, from the recorded
answers of a language model.
"""

import sys

import rich.console

from experiments import report, results
from leed_jax import cli, compilation
from leed_jax.generation import AnswersNeeded, GenerationError
from leed_jax.optimization import devices


def main() -> int:
    """Runs, reports and prints the tables; returns the exit status."""
    config = cli.parse()
    compilation.announce_cache(config.compilation_cache)
    console = rich.console.Console()
    try:
        folder = cli.run(config)
    except (AnswersNeeded, GenerationError, FileExistsError, ValueError, TypeError) as error:
        console.print(f"[red]{type(error).__name__}[/red]: ", end="")
        console.print(str(error), markup=False, highlight=False)
        return 1
    if not devices.first_process():
        return 0
    report.write(folder)
    console.print(report.table(results.load(folder).summary))
    console.print(f"Report, figures and raw results: {folder}/", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
