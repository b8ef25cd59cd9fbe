"""From a row to the turns of a chat, with the pictures and the sound that belong to them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from actors.errors import RowRejected
from actors.sound import Samples
from actors.stage import Row
from actors.writing.prompts import asked_of


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says: pictures and recordings first, then a text."""

    role: str
    text: str
    pictures: Sequence[Image.Image] = ()
    sounds: Sequence[Samples] = ()

    def parts(self) -> list[dict[str, Any]]:
        """Return it as chat templates of transformers take it."""
        return [
            *({"type": "image", "image": picture} for picture in self.pictures),
            *({"type": "audio", "audio": samples} for samples in self.sounds),
            {"type": "text", "text": self.text},
        ]


def turns_of(
    row: Row, system: str | None, pictures: Sequence[Image.Image], sounds: Sequence[Samples]
) -> list[Turn]:
    """Return a row's turns; pictures and sounds go to the first turn of the user.

    Raises RowRejected as `asked_of` does, and for a chat in which the user says nothing.
    """
    asked = asked_of(row)
    if isinstance(asked, str):
        turns = [Turn("user", asked)]
    else:
        turns = [Turn(one["role"], one["content"]) for one in asked]
    if system is not None and turns[0].role != "system":
        turns = [Turn("system", system), *turns]
    first = next((n for n, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        raise RowRejected("bad_messages", "no message is the user's")
    turns[first] = replace(turns[first], pictures=pictures, sounds=sounds)
    return turns
