"""How a process ends with the one that started it."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def die_with(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent ends, even if it hangs; Linux only.

    Parameters
    ----------
    parent_pid : of the parent, which may have ended in the meantime
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
