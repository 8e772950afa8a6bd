"""Quorum arithmetic, consensus parameters, encryption schedules and the registry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeybadger.protocols import registry
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters, is_encrypted
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.parameters import read_parameters
from honeybadger.protocols.pbft.parameters import PBFTParameters
from honeybadger.protocols.quorums import BYZANTINE, CRASH, Quorums
from honeybadger.settings import settings


@given(st.integers(1, 400), st.data())
def test_quorums_do_what_they_are_for(nodes, data):
    """f is a number of faults that N nodes bear."""
    f = data.draw(st.integers(0, BYZANTINE.largest_faults(nodes)))
    q = Quorums(nodes, f)
    correct = nodes - f
    assert q.weak > f, "one of them is correct"
    assert q.ready - f >= q.weak, "f+1 of them are correct"
    assert q.quorum <= correct, "one can wait for them"
    assert q.ready <= q.quorum, "all correct nodes' TERMs erase"
    assert 2 * q.quorum - nodes > f, "two quorums share a correct node"
    assert q.quorum - f == q.data_shards >= 1, "correct ones among a quorum restore a value"


def test_quorums_by_hand():
    """Scenario 37: 2f+1 and N-f are different things."""
    table = {1: (0, 1, 1, 1, 1), 4: (1, 2, 3, 3, 2), 5: (1, 2, 3, 4, 3), 6: (1, 2, 3, 5, 4), 9: (2, 3, 5, 7, 5)}
    for nodes, (f, weak, ready, quorum, data) in table.items():
        q = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        assert (q.faults, q.weak, q.ready, q.quorum, q.data_shards) == (f, weak, ready, quorum, data)


@pytest.mark.parametrize(("nodes", "faults"), [(0, 0), (-1, 0), (3, 1), (4, 2), (4, -1), (6, 2)])
def test_impossible_clusters(nodes, faults):
    with pytest.raises(ValueError, match=r"at least one node|tolerates at most f"):
        BYZANTINE.quorums(nodes, faults)


def test_crash_faults_need_fewer_nodes():
    assert [CRASH.largest_faults(nodes) for nodes in (1, 2, 3, 4, 5)] == [0, 0, 1, 1, 2]
    assert (CRASH.quorums(3, 1).weak, CRASH.quorums(3, 1).quorum) == (2, 2)
    for nodes, faults in [(2, 1), (3, 2), (0, 0), (3, -1)]:
        with pytest.raises(ValueError, match=r"at least one node|crash faults"):
            CRASH.quorums(nodes, faults)


@given(st.integers(1, 30), st.data(), st.integers(0, 60))
def test_first_of(period, data, start):
    """first:M,of:N encrypts exactly M of any N consecutive epochs (scenario 45), the first of each period. every:N
    encrypts the first only, always and never all and none."""
    on = data.draw(st.integers(0, period))
    schedule = f"first:{on},of:{period}"
    epochs = range(start, start + period)
    assert sum(is_encrypted(schedule, e) for e in epochs) == on
    assert [is_encrypted(schedule, e) for e in range(period)] == [True] * on + [False] * (period - on)
    assert [e for e in epochs if is_encrypted(f"every:{period}", e)] == [e for e in epochs if e % period == 0]
    assert all(is_encrypted("always", e) and not is_encrypted("never", e) for e in epochs)


UNKNOWN = ["", "Always", "every", "every:", "every:0", "every:-1", "every:1.5", "every:2\n", " every:2", "sometimes"]
UNKNOWN += ["first:3,of:2", "first:0,of:0", "first:1of:2", "first:1,of:", "every:9999999999"]


@pytest.mark.parametrize("schedule", UNKNOWN)
def test_unknown_schedules(schedule):
    with pytest.raises(ValueError, match="encryption"):
        is_encrypted(schedule, 0)
    with pytest.raises(ValueError, match="encryption"):
        HoneyBadgerParameters(encryption=schedule).check(4)


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
        ("coin_schedule", "every_round"),
    ],
)
def test_parameters_out_of_range(name, value):
    with pytest.raises(ValueError, match=name) as error:
        HoneyBadgerParameters(**{name: value}).check(4)
    assert "\n" not in str(error.value)


def test_default_parameters_are_good_up_to_256_nodes():
    HoneyBadgerParameters().check(4)
    HoneyBadgerParameters().check(256)
    with pytest.raises(ValueError, match="nodes = 257: at most 256"):
        HoneyBadgerParameters().check(257)


def test_share_of_the_batch():
    assert HoneyBadgerParameters(batch_size=10).transactions_per_node(4) == 2
    assert HoneyBadgerParameters(batch_size=3).transactions_per_node(4) == 1


def test_registry():
    assert "honeybadger" in registry.protocol_names()
    assert registry.find_protocol("honeybadger") is SPECIFICATION
    with pytest.raises(LookupError, match=r"honeybadger"):
        registry.find_protocol("paxos made difficult")


@pytest.mark.parametrize("record", [HoneyBadgerParameters, PBFTParameters])
def test_every_parameter_says_what_it_is(record):
    for setting in settings(record):
        assert setting.description.endswith("."), setting.name
        assert setting.convert(setting.default) == setting.default
        assert setting.choices or setting.base is str or None not in (setting.low, setting.high), setting.name


def test_plain_data_become_the_record():
    values = {"protocol": "pbft", "batch_size": 7, "view_timeout_s": 1}
    assert read_parameters(PBFTParameters, values) == PBFTParameters(batch_size=7, view_timeout_s=1.0)
    for name, value, says in [
        ("encryption", "never", 'protocol pbft has no parameter "encryption"'),
        ("view_timeout_s", 0, "view_timeout_s = 0 is not a number from 0.01 to 3,600"),
        ("batch_size", True, "batch_size"),
    ]:
        with pytest.raises(ValueError, match=says):
            read_parameters(PBFTParameters, {**values, name: value})


def test_parameters_of_another_protocol_are_refused():
    assert PBFTParameters.of(PBFTParameters()) == PBFTParameters()
    with pytest.raises(TypeError, match="honeybadger"):
        PBFTParameters.of(HoneyBadgerParameters())
