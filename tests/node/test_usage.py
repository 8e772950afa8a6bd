"""What a process writes to the disk is told, or said to be unknown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honeybadger.node import usage
from honeybadger.node.usage import ProcessUsage


def test_what_reaches_the_disk_is_counted_and_what_goes_to_a_pipe_is_not(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("no /proc/self/io: run on Linux")
    measured = ProcessUsage()
    before = measured.read()["written_bytes"]
    reading, writing = os.pipe()
    for _ in range(100):
        os.write(writing, bytes(10_000))
        os.read(reading, 10_000)
    os.close(reading)
    os.close(writing)
    between = measured.read()["written_bytes"]
    assert between - before < 1_000_000
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(8_000_000))
        file.flush()
        os.fsync(file.fileno())
    after = measured.read()["written_bytes"]
    # A file system in memory writes nothing to a disk.
    assert after - between >= 8_000_000 or after == between
    measured.close()
    assert measured.read()["written_bytes"] is None and measured.read()["rss_bytes"] is None


@pytest.mark.parametrize("text", [b"", b"write_bytes: many\n", b"cancelled_write_bytes: 7\nread_bytes: 3\n"])
def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    (tmp_path / "io").write_bytes(text)
    opened = usage._opened
    monkeypatch.setattr(usage, "_opened", lambda path: opened(str(tmp_path / "io") if path.endswith("/io") else path))
    assert ProcessUsage().read()["written_bytes"] is None
    monkeypatch.setattr(usage, "_opened", lambda path: opened(str(tmp_path / "absent")))
    assert ProcessUsage().read()["written_bytes"] is None
    (tmp_path / "io").write_bytes(b"wchar: 99\nwrite_bytes: 4096\ncancelled_write_bytes: 7\n")
    monkeypatch.setattr(usage, "_opened", lambda path: opened(str(tmp_path / "io")))
    assert ProcessUsage().read()["written_bytes"] == 4096


STARTED = "from honeybadger.node.usage import ProcessUsage as P; print(P().read()['peak_rss_bytes'])"
STARTS = "import subprocess, sys; held = b'x' * 400_000_000; subprocess.run([sys.executable, '-c', sys.argv[1]])"


def test_the_peak_is_the_own_one_not_that_of_who_started_the_process() -> None:
    output = subprocess.run([sys.executable, "-c", STARTS, STARTED], capture_output=True, text=True, check=True).stdout
    assert 10_000_000 < int(output) < 200_000_000
