"""Who answers: found from what the user calls the model."""

import os

from leed_jax.generation import files, groups, llm, records, replay, transcripts
from leed_jax.generation.clients import Client
from leed_jax.generation.config import GenerationConfig
from leed_jax.generation.conversations import Conversation
from leed_jax.generation.groups import Question


def client(
    model: str | Client,
    config: GenerationConfig,
    wanted: records.Specification,
    transcript: str | os.PathLike[str] | None,
) -> tuple[Client, str]:
    """Who answers, and the name of the source, as transcripts hold it.

    Raises:
      GenerationError: nothing was recorded, or a key is missing.
      TypeError: ``model`` is neither a name nor a client.
    """
    if not isinstance(model, str):
        if not callable(getattr(model, "ask", None)):
            raise TypeError(
                f"model must be a name or have a method ask, got {type(model).__name__}"
            )
        return model, str(getattr(model, "source", "custom"))
    if model == "replay":
        return replay.Replay(transcripts.recorded(wanted, transcript)), "replay"
    if model.startswith(files.PREFIX):
        return files.Files(model.removeprefix(files.PREFIX)), "chat"
    return llm.LiteLLM(model, config), "litellm"


def conversations(
    answering: Client,
    config: GenerationConfig,
    wanted: records.Specification,
    source: str,
    transcript: str | os.PathLike[str] | None,
    question: Question,
) -> list[Conversation]:
    """The conversations to have, with the files that they are recorded to.

    Raises:
      GenerationError: the prompt is too long even for single agents, or the scenario cannot be
        asked in the groups that were recorded.
      ValueError: ``transcript`` is a file where a folder is needed.
    """
    if isinstance(answering, replay.Replay):
        # All that was recorded is played, whatever the settings say about asking.
        return [
            Conversation(index, wanted, item.last_round, None, groups.parts(question, item.groups))
            for index, item in enumerate(answering.conversations)
        ]
    folder = transcript
    if folder is None:
        own = answering.folder if isinstance(answering, files.Files) else None
        folder = transcripts.DEFAULT_FOLDER if own is None else own
    paths = [
        transcripts.new_path(folder, wanted, index, source) for index in range(config.conversations)
    ]
    count = groups.fewest(question, config.max_prompt_tokens)
    return [
        Conversation(
            index,
            wanted,
            config.max_rounds,
            path,
            groups.parts(question, count),
            written=source == "chat",  # what its answer files say may be written again
        )
        for index, path in enumerate(paths)
    ]
