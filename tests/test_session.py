"""Where work runs: a cluster that does not answer."""

import socket

import pytest

from actors.errors import RunFailed
from jobs.clusters.session import check_answers


def test_a_cluster_where_nothing_listens_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        port = taken.getsockname()[1]
        for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            with pytest.raises(RunFailed, match=r"cannot be reached at .*refused") as error:
                check_answers(address)
            assert "ray start --head" in str(error.value)
    check_answers("auto")
