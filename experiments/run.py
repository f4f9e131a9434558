"""One command from instructions to a report.

    python -m experiments.run
    python -m experiments.run --methods leed ippo bc --seeds 5 --train.total-steps 1000000
    python -m experiments.run scenario=mpe/simple_spread num_agents=4 train.num_envs=128
    python -m experiments.run --resume results/my-run
    python -m experiments.run suite=paper --dry-run

With no arguments: LEED and IPPO on simple_spread with 3 agents and 3 seeds, from the recorded
answers of a language model.
"""

import sys

import rich.console

from experiments import report, results, suite_runner
from leed_jax import cli, displays, files, run_folder
from leed_jax.optimization import devices


def main() -> int:
    """Runs, reports and prints the tables; returns the exit status."""
    if suite_runner.asked(sys.argv[1:]):
        return suite_runner.main(sys.argv[1:])
    console = displays.tables()
    try:
        folder = cli.carry_out()
        if not devices.first_process():
            return 0
        with run_folder.resumable(folder):
            report.write(folder)
            table = report.table(results.load(folder).summary)
    except cli.EndedError as ended:
        return _failed(console, ended.kind, str(ended), ended.status)
    except OSError as error:  # of the report: all else is done
        said = "\n".join([files.in_words(error), *getattr(error, "__notes__", [])])
        return _failed(console, type(error).__name__, said, 1)
    console.print(table)
    console.print(f"Report, figures and raw results: {folder}/", highlight=False)
    return 0


def _failed(console: rich.console.Console, kind: str, message: str, status: int) -> int:
    console.print(f"[red]{kind}[/red]: ", end="")
    console.print(message, markup=False, highlight=False, soft_wrap=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
