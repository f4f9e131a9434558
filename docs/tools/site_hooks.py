"""What mkdocs does besides: the generated page, and files that pages link to outside of docs/."""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import config_reference

ROOT = Path(__file__).parents[2]
CONFIGURATION = "configuration.md"
LINK = re.compile(r"\]\(((?:\.\./)+)([^)#\s]+)")
"""From a page to something that is not a page."""


def outside(text: str, page: Path) -> list[tuple[str, Path]]:
    """Links of a page of docs/ that lead out of that folder, and the files they lead to."""
    found = []
    for up, rest in LINK.findall(text):
        target = (page.parent / up / rest).resolve()
        if target.is_file() and ROOT / "docs" not in target.parents:
            found.append((up + rest, target))
    return found


def place(target: Path) -> str:
    """Where a file of the repository lies in the site: not as a page, whatever it is."""
    path = Path("files") / target.relative_to(ROOT)
    return str(path.with_suffix(".txt") if path.suffix == ".md" else path)


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated page, and what pages link to."""
    files.append(File.generated(config, CONFIGURATION, content=config_reference.page()))
    there: set[str] = set()
    for page in sorted((ROOT / "docs").glob("*.md")):
        for _, target in outside(page.read_text(encoding="utf-8"), page):
            if place(target) not in there:
                there.add(place(target))
                files.append(File.generated(config, place(target), abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links that lead out of docs/ lead to the copies; bars in code of tables need no backslash."""
    if page.file.src_uri == CONFIGURATION:
        return markdown
    markdown = re.sub(
        r"(?m)^\|.*", lambda row: row[0].replace("\\|", "|") if "`" in row[0] else row[0], markdown
    )
    for link, target in outside(markdown, ROOT / "docs" / page.file.src_uri):
        markdown = markdown.replace(f"]({link}", f"]({place(target)}")
    return markdown
