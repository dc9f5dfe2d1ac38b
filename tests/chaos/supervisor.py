"""`replicator run` as a service manager keeps it: started again whenever it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.two_way.pair_of_nodes import Pair

STOP_SECONDS = 20
RUNNING = ": running"


class Supervisor:
    """`ended`: exit codes of runs that ended without being told. The log of all of them is in `folder`/daemon.log."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self._command = [str(Path(sys.executable).parent / "replicator"), "-c", str(folder / "replicator.yaml"), "run"]
        self._environ = {**os.environ, **pair.environ}
        self._path = folder / "daemon.log"
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="supervisor")
        self._began = 0  # where in the log the run of now begins
        self.ended: list[int] = []

    def __enter__(self) -> Self:
        self.start()
        self._keeper.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._keeper.join()
        self.kill()

    def start(self) -> None:
        with self._lock, self._path.open("ab") as log:
            if self._process is None:
                self._began = len(self.log())
                self._process = subprocess.Popen(self._command, env=self._environ, stdout=log, stderr=log)

    def kill(self) -> None:
        process = self._taken()
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """SIGTERM; a run that does not end then, or not well, is an AssertionError."""
        process = self._taken()
        if process is not None:
            process.terminate()
            try:
                code = process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"SIGTERM did not stop it within {STOP_SECONDS} s\n{self.log()[-3000:]}") from None
            # It may just have been ending for another reason, or not yet have come so far as to hear signals.
            assert code in (0, 3, -signal.SIGTERM), self.log()[-3000:]

    def wait_at_work(self, seconds: float) -> None:
        """Until the run of now says that it runs and nothing has gone wrong since; at most so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._at_work():
            time.sleep(0.05)

    def _at_work(self) -> bool:
        with self._lock:
            said = self.log()[self._began :].splitlines()
        said = [line for line in said if RUNNING in line or "trying again" in line]
        return bool(said) and RUNNING in said[-1]

    def log(self) -> str:
        return self._path.read_text() if self._path.exists() else ""

    def _taken(self) -> subprocess.Popen[bytes] | None:
        """The process, which is no longer looked after."""
        with self._lock:
            process, self._process = self._process, None
            return process

    def _keep(self) -> None:
        while not self._over.wait(0.1):
            with self._lock:
                process = self._process
                gone = process is not None and process.poll() is not None
                if gone:
                    self._process = None
            if gone:
                assert process is not None
                self.ended.append(process.returncode)
                self.start()
