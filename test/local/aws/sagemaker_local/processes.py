"""Child processes that never outlive the emulator.

Every child holds the reading end of a pipe as its standard input, and ends itself when the pipe closes (container/
lifeline.py). So it ends even if the emulator is killed without a chance to clean up, on Linux and macOS alike.
"""

import os
import signal
import subprocess
import sys
import threading

_children = set()
_lock = threading.Lock()

# A job of the local environment has a small machine to itself, and several run at once.
THREADS = max(1, min(2, os.cpu_count() or 1))


class Child:
    """A running process of a container image."""

    def __init__(self, program, environment, log, capture=False, sockets=()):
        env = {
            "PATH": os.environ.get("PATH", ""),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": str(THREADS),
            # Idle threads sleep instead of spinning: there are more jobs than cores.
            "OMP_WAIT_POLICY": "passive",
            **environment,
        }
        self._process = subprocess.Popen(
            [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE if capture else log,
            stderr=subprocess.STDOUT if capture else log, env=env, pass_fds=[s.fileno() for s in sockets])
        with _lock:
            _children.add(self)

    @property
    def output(self):
        """The lines of a captured child."""
        return self._process.stdout

    def exit_code(self):
        return self._process.poll()

    def wait(self, timeout=None):
        """The exit code, or None if the process still runs after the timeout."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        self._forget()
        return code

    def stop(self, grace=5):
        """SIGTERM, and SIGKILL after the grace in seconds."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._forget()

    def _forget(self):
        with _lock:
            _children.discard(self)
        self._process.stdin.close()


def stop_all():
    with _lock:
        children = list(_children)
    for child in children:
        child.stop(grace=1)
