"""Faults and hostile input, many of them, with the figures printed.

    python -m experiments.torture faults
    python -m experiments.torture kill --kills 20
    python -m experiments.torture demonstrations --count 10000
    python -m experiments.torture answers --count 10000
    python -m experiments.torture teams --count 10000

Ends with 1 if a promise was broken. `docs/reliability.md` keeps the figures.
"""

import argparse
import sys
from pathlib import Path

from experiments.torture import (
    fault_run,
    fuzz,
    fuzz_answers,
    fuzz_demonstrations,
    fuzz_teams,
    kill_run,
)

KINDS: dict[str, type[fuzz.Cases]] = {
    "demonstrations": fuzz_demonstrations.Cases,
    "answers": fuzz_answers.Cases,
    "teams": fuzz_teams.Cases,
}


def main() -> int:
    """Runs what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(
        "python -m experiments.torture",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    faults = commands.add_parser("faults", help="50 plans through a server that fails")
    faults.add_argument("--folder", type=Path, default=Path("results/torture_faults"))
    faults.add_argument("--conversations", type=int, default=50)
    kill = commands.add_parser("kill", help="kill -9 at random moments of a run")
    kill.add_argument("--folder", type=Path, default=Path("results/torture_kill"))
    kill.add_argument("--kills", type=int, default=20)
    kill.add_argument("--seed", type=int, default=0)
    kill.add_argument("--json", type=Path, help="file for the figures of every kill")
    for name in KINDS:
        fuzzing = commands.add_parser(name, help=f"fuzzed {name}")
        fuzzing.add_argument("--count", type=int, default=10_000)
        fuzzing.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.command == "faults":
        return 0 if fault_run.run(options.folder, options.conversations) else 1
    if options.command == "kill":
        kept = kill_run.run(options.folder, options.kills, options.seed, json_file=options.json)
        return 0 if kept else 1
    report = fuzz.run(KINDS[options.command], options.count, options.seed)
    print(report)
    return 0 if report.kept else 1


if __name__ == "__main__":
    sys.exit(main())
