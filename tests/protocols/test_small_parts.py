"""Quorum arithmetic, consensus parameters, encryption schedules and the registry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.protocols import registry
from honeybadger.protocols.encryption_schedule import is_encrypted
from honeybadger.protocols.honey_badger import SPECIFICATION
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums


@given(st.integers(1, 400), st.data())
def test_quorums_do_what_they_are_for(nodes, data):
    """f is a number of faults that N nodes bear."""
    f = data.draw(st.integers(0, Quorums.largest_faults(nodes)))
    q = Quorums(nodes, f)
    correct = nodes - f
    assert q.weak > f, "one of them is correct"
    assert q.ready - f >= q.weak, "f+1 of them are correct"
    assert q.quorum <= correct, "one can wait for so many"
    assert q.ready <= q.quorum, "all correct nodes' TERMs erase"
    assert 2 * q.quorum - nodes > f, "two quorums share a correct node"
    assert q.quorum - f == q.data_shards >= 1, "correct ones among a quorum restore a value"


def test_quorums_by_hand():
    """Scenario 37: 2f+1 and N-f are different things."""
    table = {1: (0, 1, 1, 1, 1), 4: (1, 2, 3, 3, 2), 5: (1, 2, 3, 4, 3), 6: (1, 2, 3, 5, 4), 9: (2, 3, 5, 7, 5)}
    for nodes, (f, weak, ready, quorum, data) in table.items():
        q = Quorums(nodes, Quorums.largest_faults(nodes))
        assert (q.faults, q.weak, q.ready, q.quorum, q.data_shards) == (f, weak, ready, quorum, data)


@pytest.mark.parametrize(("nodes", "faults"), [(0, 0), (-1, 0), (3, 1), (4, 2), (4, -1), (6, 2)])
def test_impossible_clusters(nodes, faults):
    with pytest.raises(ValueError, match=r"at least one node|tolerates at most f"):
        Quorums(nodes, faults)


@given(st.integers(1, 30), st.integers(0, 60))
def test_every_nth(period, start):
    """every:N encrypts exactly one of any N consecutive epochs: the one divisible by N."""
    epochs = [e for e in range(start, start + period) if is_encrypted(f"every:{period}", e)]
    assert len(epochs) == 1
    assert epochs[0] % period == 0


@given(st.integers(1, 30), st.data(), st.integers(0, 60))
def test_first_of(period, data, start):
    """first:M,of:N encrypts exactly M of any N consecutive epochs (scenario 45), the first of each period."""
    on = data.draw(st.integers(0, period))
    schedule = f"first:{on},of:{period}"
    assert sum(is_encrypted(schedule, e) for e in range(start, start + period)) == on
    assert [is_encrypted(schedule, e) for e in range(period)] == [True] * on + [False] * (period - on)


@given(st.integers(0, 2**53))
def test_always_and_never(epoch):
    assert is_encrypted("always", epoch)
    assert not is_encrypted("never", epoch)


UNKNOWN = ["", "Always", "every", "every:", "every:0", "every:-1", "every:1.5", "every:2\n", " every:2", "sometimes"]
UNKNOWN += ["first:3,of:2", "first:0,of:0", "first:1of:2", "first:1,of:", "every:9999999999"]


@pytest.mark.parametrize("schedule", UNKNOWN)
def test_unknown_schedules(schedule):
    with pytest.raises(ValueError, match="encryption"):
        is_encrypted(schedule, 0)
    with pytest.raises(ValueError, match="encryption"):
        Parameters(encryption=schedule).check(4)


def test_default_parameters_are_good():
    Parameters().check(4)
    Parameters().check(256)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 0),
        ("batch_size", 10**8),
        ("max_tx_bytes", 0),
        ("max_tx_bytes", 1 << 30),
        ("max_proposal_bytes", 65_536),
        ("max_proposal_bytes", 1 << 30),
        ("epoch_window", 0),
        ("epoch_window", 2000),
        ("pipeline_depth", 0),
        ("pipeline_depth", 9),
        ("encryption", "x"),
    ],
)
def test_parameters_out_of_range(name, value):
    with pytest.raises(ValueError, match=name) as error:
        Parameters(**{name: value}).check(4)
    assert "\n" not in str(error.value)


def test_unknown_coin_schedule():
    with pytest.raises(ValueError, match="coin_schedule"):
        Parameters(coin_schedule="every_round").check(4)


def test_too_many_nodes():
    with pytest.raises(ValueError, match="257 shards are too many"):
        Parameters().check(257)


def test_share_of_the_batch():
    assert Parameters(batch_size=10).transactions_per_node(4) == 2
    assert Parameters(batch_size=3).transactions_per_node(4) == 1


def test_registry():
    assert "honeybadger" in registry.protocol_names()
    assert registry.find_protocol("honeybadger") is SPECIFICATION
    with pytest.raises(LookupError, match=r"honeybadger"):
        registry.find_protocol("paxos made difficult")
