"""Ends this process when the one that started it is gone.

The starter holds the writing end of this process's standard input. It closes when the starter ends, however it ends.
"""

import os
import threading


def hold():
    def wait():
        # Not sys.stdin: the interpreter can't end while a thread holds its lock.
        while os.read(0, 1):
            pass
        os._exit(143)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
