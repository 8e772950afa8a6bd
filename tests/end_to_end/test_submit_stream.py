"""`honeybadger submit -` sends lines as they arrive."""

import select
import subprocess
from pathlib import Path

import pytest
from support.nodes.cluster_harness import PATIENCE_S, background_command, one_line_error, run_command, running

pytestmark = pytest.mark.processes


def test_lines_are_sent_as_they_arrive(tmp_path: Path) -> None:
    with running(tmp_path / "c", 1) as cluster:
        manifest = ("--cluster", str(cluster.manifest_path))
        with background_command("submit", *manifest, "-", stdin=subprocess.PIPE, bufsize=0) as process:
            assert process.stdin is not None and process.stdout is not None
            for number in range(3):
                process.stdin.write(b"line %d\n" % number)
                assert select.select([process.stdout], [], [], PATIENCE_S)[0], "no answer while the input is open"
                assert process.stdout.readline().strip().isdigit()
            process.stdin.write(b"a last line without an end")
            process.stdin.close()
            assert process.stdout.readline().strip().isdigit()
            assert process.wait(PATIENCE_S) == 0

        # What came before a bad line was sent when that arrived; of a file, nothing is.
        bad = b"c0ffee\n\nnonsense\nc0ffee00\n"
        piped = run_command("submit", *manifest, "--hex", "-", stdin=bad)
        assert one_line_error(piped) == "error: line 3: not hexadecimal" and piped.stdout.strip().isdigit()
        (tmp_path / "lines").write_bytes(bad.replace(b"c0ffee", b"badbad"))
        from_file = run_command("submit", *manifest, "--hex", str(tmp_path / "lines"))
        assert one_line_error(from_file) == "error: line 3: not hexadecimal" and from_file.stdout == b""
        assert "line 1: a transaction is longer" in one_line_error(run_command("submit", *manifest, "/dev/zero"))

        many = b"".join(b"%d\n" % number for number in range(20_000))
        heights = run_command("submit", *manifest, "-", stdin=many).stdout.split()
        assert len(heights) == 20_000 and heights == sorted(heights, key=int)
    assert len(cluster.transactions(0)) == 4 + 1 + 20_000
