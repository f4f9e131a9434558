"""Tables in Markdown."""

from leed_jax.result_tables import Grid


def markdown(grid: Grid) -> str:
    """A table in Markdown; all columns but the first to the right."""
    ruler = ["---", *["---:"] * (len(grid.header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (grid.header, ruler, *grid.rows))
