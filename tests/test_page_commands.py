"""The commands that pages show name modules, files, options and extras that there are."""

import re
import tomllib
from typing import Any

import pages
import pytest

from experiments import suite_runner, suites
from leed_jax import arguments, commands
from leed_jax.commands.generating import GenerateConfig
from leed_jax.config import TrainConfig

COMMANDS = sorted(
    {
        (page.name, tuple(words))
        for page in pages.all_pages()
        for words in pages.commands(page.read_text(encoding="utf-8"))
    }
)


def test_commands_of_the_pages_are_found() -> None:
    assert len(COMMANDS) > 40
    assert ("tpu.md", ("python", "-m", "experiments.run", "--resume", "results/my-run")) in COMMANDS


@pytest.mark.parametrize("page", sorted({page for page, _ in COMMANDS}))
def test_commands_of_a_page_are_understood(page: str) -> None:
    for name, words in COMMANDS:
        if name == page:
            check_command(list(words))


def check_command(words: list[str]) -> None:
    """Fails where a command names a module, a file, an option or an extra that is not there."""
    while re.match(r"\w+=", words[0]) or words[0] == "srun":
        words = words[1:]
    program, *rest = words
    if program.endswith("pip") or rest[:2] == ["-m", "pip"]:
        extras = re.findall(r"(?:\.|leed_jax)\[([\w,]+)\]", " ".join(rest))
        there = tomllib.loads((pages.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        known = there["project"]["optional-dependencies"]
        assert all(extra in known for each in extras for extra in each.split(",")), words
    elif program == "leed":
        check_leed(rest)
    elif rest[:2] == ["-m", "experiments.run"]:
        check_run(rest[2:])
    elif rest[0] == "-m" and rest[1].startswith("experiments."):
        check_options(source_of(rest[1]), rest[2:])
    elif rest[0] != "-m":
        assert (pages.ROOT / rest[0]).is_file(), words


def check_run(options: list[str]) -> None:
    """Of ``experiments.run`` or ``leed run``."""
    if suite_runner.asked(options):
        config = suite_runner.parse(options)
        assert suites.cells(config.suite, config.only)
    elif options[:1] not in (["--resume"], ["--help"]):
        arguments.parse(options)


def check_leed(words: list[str]) -> None:
    """Of ``leed``; a command that is only spoken of may lack what it is applied to."""
    if words[0] == "run":
        check_run(words[1:])
    elif words[0] == "generate":
        arguments.parse_as(GenerateConfig, words[1:], "leed generate")
    else:
        alone = not any(word.startswith("-") for word in words)
        try:
            commands._parser().parse_args(words)
        except SystemExit:
            with pytest.raises(SystemExit, match="0"):
                commands._parser().parse_args([*words, "--help"] if alone else words)


def source_of(module: str) -> str:
    """The text of a module or of all files of a package."""
    path = pages.ROOT / module.replace(".", "/")
    if path.is_dir():
        return "\n".join(each.read_text(encoding="utf-8") for each in sorted(path.glob("*.py")))
    return path.with_suffix(".py").read_text(encoding="utf-8")


def check_options(text: str, options: list[str]) -> None:
    """Of another command: a field of its settings or an argument of its parser."""
    for option in options:
        if option.startswith("--") and option != "--help":
            name = option[2:].replace("-", "_").split(".")
            if name[0] == "train":
                settings: Any = TrainConfig()
                for part in name[1:]:
                    settings = getattr(settings, part)
            else:
                known = f'"{option}"' in text or re.search(rf"^    {name[0]}: ", text, re.M)
                assert known, f"{option} is no option"


def test_a_command_that_is_not_there_would_be_found() -> None:
    with pytest.raises(FileNotFoundError):
        check_command(["python", "-m", "experiments.nothing"])
    with pytest.raises(AssertionError):
        check_command(["python", "-m", "experiments.sweep", "--lerning-rates", "1"])
    with pytest.raises(SystemExit):
        check_command(["python", "-m", "experiments.run", "--sedes", "1"])
    with pytest.raises(AssertionError):
        check_command(["pip", "install", ".[tpus]"])
    for wrong in (["leed", "rode", "list"], ["leed", "road", "list", "--nothing"]):
        with pytest.raises(BaseException, match=r"[12]"):
            check_command(wrong)
