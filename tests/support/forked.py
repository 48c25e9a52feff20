"""A copy of the test's process that can be killed: it starts in milliseconds, a new interpreter takes seconds."""

import os
import signal
import traceback
import warnings
from collections.abc import Callable


class Forked:
    """Runs ``work(tell)`` in a child process; ``tell(text)`` sends a line to `line` and `rest`."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]):
        receive, send = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads: the child uses none of theirs
            self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(receive)
                work(lambda text: os.write(send, f"{text}\n".encode()))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(send)
        self._stream = os.fdopen(receive)

    def line(self) -> str:
        """The next line that the child tells; waits for it."""
        return self._stream.readline().strip()

    def kill(self) -> list[str]:
        """Kill the child without warning; gives the lines it told that were not read yet."""
        os.kill(self.pid, signal.SIGKILL)
        lines = self._stream.read().split("\n")[:-1]
        self._wait()
        return lines

    def join(self) -> tuple[int, list[str]]:
        """Wait for the child's end; gives its exit code and the lines that were not read yet."""
        lines = self._stream.read().split("\n")[:-1]
        return os.waitstatus_to_exitcode(self._wait()), lines

    def _wait(self) -> int:
        self._stream.close()
        return os.waitpid(self.pid, 0)[1]
