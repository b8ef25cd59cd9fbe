"""How much memory a process took at most: its own, and the device's."""

import contextlib
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_memory() -> int:
    """Most bytes of memory that this process held at once since it began.

    From the kernel's high-water mark where there is one: what getrusage tells on Linux is, after
    a fork, the parent's as well.
    """
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_device_memory() -> int:
    """Most bytes that torch held of the GPU that holds most; 0 without one.

    What torch reserves is more than what it uses, and is what others on the GPU cannot have. The
    CUDA context, some hundred MB, is not in it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    devices = range(torch.cuda.device_count())
    return max((int(torch.cuda.max_memory_reserved(n)) for n in devices), default=0)
