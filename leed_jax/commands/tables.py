"""Tables on stdout."""

from collections.abc import Sequence


def print_table(rows: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> None:
    """Columns side by side, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
