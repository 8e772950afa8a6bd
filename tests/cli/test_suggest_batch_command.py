"""`honeybadger simulate --suggest-batch`: what it prints, and what it refuses in one line."""

import json
import re

import pytest

ASK = ("simulate", "--suggest-batch", "0.1")


def test_the_line_the_reason_and_the_batch_size(run):
    status, out, err = run(*ASK, "--nodes", "4")
    assert status == 0, err
    assert re.search(r"^sent bytes = [\d,]+ \+ [\d.]+ × payload bytes$", out, re.M)
    assert "misses the one between by" in out and "λN² log N (Miller et al., CCS 2016" in out
    size = re.search(r"^B = (\d+) is the smallest batch size with at most 10 % of overhead: 9\.\d+ %", out, re.M)
    assert size is not None and 100 < int(size[1]) < 400
    assert re.search(r"│ 256 +│ +[\d,]+ │ +[\d,]+ │ +3\d\d │ +\d\.\d % │", out) and "run 3 of 3: B = 256" in err
    again = run(*ASK, "--nodes", "4", "--json")
    assert again[0] == 0 and json.loads(again[1])["batch_size"] == int(size[1]), "the same without a seed"


def test_another_protocol_has_no_such_reason(run):
    status, out, err = run(*ASK, "--protocol", "pbft", "--tx-size", "1000")
    assert status == 0, err
    assert "PBFT, N = 4, f = 1, suite ideal" in out and "of 1000 bytes" in out and "Miller" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--suggest-batch", "0"), "--suggest-batch"),
        (("--suggest-batch", "1"), "--suggest-batch"),
        (("--suggest-batch", "10%"), "--suggest-batch"),
        (("--suggest-batch", "nan"), "--suggest-batch"),
        (("--batch-size", "100"), "--batch-size contradicts --suggest-batch, which chooses the runs itself"),
        (("--rate", "100"), "--rate contradicts --suggest-batch"),
        (("--duration", "5"), "--duration contradicts --suggest-batch"),
        (("--crash", "1"), "--crash contradicts --suggest-batch"),
        (("--byzantine", "1:silent"), "--byzantine contradicts --suggest-batch"),
        (("--trace", "t"), "--trace contradicts --suggest-batch"),
        (("--costs", "measured"), "--costs contradicts --suggest-batch"),
        (("--out", "kept"), "--out contradicts --suggest-batch"),
        (("--calibrate",), "--calibrate contradicts --suggest-batch"),
        (("--durability", "os"), "--durability means nothing in virtual time"),
        (("--nodes", "1"), "--suggest-batch needs two nodes or more"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(run, arguments, says):
    status, out, err = run(*ASK, *arguments)
    assert status != 0 and out == "" and err.count("error: ") == 1 and says in err.splitlines()[-1]


def test_a_key_of_a_file_is_named_as_it_is_written_there(run, tmp_path):
    (tmp_path / "run.toml").write_text("batch-size = 5\n")
    status, _, err = run(*ASK, "--config", tmp_path / "run.toml")
    assert status != 0 and f"{tmp_path / 'run.toml'}: batch-size contradicts --suggest-batch" in err
