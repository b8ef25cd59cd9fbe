"""What every sink is: an output folder of parts, and what else should know of them."""

from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from pipelines.ledger import Ledger
from pipelines.store import Store


class Sink(BaseModel):
    """Base of every sink: its fields are the options below `sink:` in the pipeline file.

    Whatever the kind, units are committed as parts of the output folder `path`, and the parts'
    footers are the ledger. A table format is told of the parts that count, in its own transactions.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_table: ClassVar[bool] = False
    """Whether `publish` does anything."""

    path: str = Field(description="Output folder; local or a URI such as s3://bucket/key.")

    def check(self, store: Store, columns: pa.Schema) -> None:
        """Refuse what cannot work, before anything is loaded; writes nothing.

        Raise UsageError: a missing package, columns that the format cannot hold, a table that is
        somebody else's.
        """

    def publish(
        self, store: Store, ledger: Ledger, columns: pa.Schema, run: str, settled: bool = True
    ) -> None:
        """Make the table hold exactly the parts of the ledger, in one transaction.

        Called by the run that holds the lock, again and again: what is published already stays as
        it is, parts that no longer count are taken out. While a run goes on, `settled` is False:
        nothing is taken out, and nothing added of a source file that a part to take out has rows
        of. Raise SinkFailed, LockLost.
        """

    def state(self, store: Store, ledger: Ledger) -> dict[str, Any]:
        """What `show` says of the table. Raise UsageError, SinkFailed."""
        return {}
