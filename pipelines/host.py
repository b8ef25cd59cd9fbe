"""The machine that this process runs on, as far as speed depends on it."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from actors.supervisor import machine_memory

CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Host:
    """A machine: its CPU's model, how many CPUs, bytes of memory, its GPUs' model and number."""

    cpu: str
    cpus: int
    memory: int
    gpu: str = ""
    gpus: int = 0

    def __str__(self) -> str:
        gpus = f", {self.gpus} x {self.gpu}" if self.gpus else ""
        return f"{self.cpus} x {self.cpu}, {self.memory / 2**30:.0f} GiB{gpus}"

    def is_like(self, other: "Host") -> bool:
        """Whether one actor is as fast there: the same CPU, and the same GPU if both name one."""
        return self.cpu == other.cpu and (not self.gpu or not other.gpu or self.gpu == other.gpu)


def this_host(with_gpus: bool) -> Host:
    """This machine; its GPUs only if asked for, because it takes importing torch."""
    names: list[str] = []
    if with_gpus:
        import torch

        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Host(_cpu_model(), cpus, machine_memory(), names[0] if names else "", len(names))


def _cpu_model() -> str:
    """ "AMD EPYC 7B13", or what the platform calls itself."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
