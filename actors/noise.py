"""Chance that repeats itself: what a model draws depends on a seed, never on its neighbours."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actors.stage import Device


@contextmanager
def drawn_from(seed: int, device: Device) -> Iterator[None]:
    """Let torch draw from `seed` inside, and go on outside as if nothing had been drawn.

    CPUs draw the same numbers everywhere; GPUs draw others than CPUs.
    """
    index = torch.device(device.name).index or 0
    with torch.random.fork_rng(devices=[] if device.name == "cpu" else [index]):
        torch.manual_seed(seed)
        yield


def seed_of(seed: int, text: str) -> int:
    """Return the seed of a text under the task's seed: 63 bits."""
    digest = hashlib.blake2b(f"{seed}\0{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
