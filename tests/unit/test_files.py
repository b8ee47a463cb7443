"""Files are whole or absent, and what cannot be written or read is said in one line."""

import errno
import os
import stat
from pathlib import Path

import pytest

from diffgmm.errors import InvalidFileError
from diffgmm.files import read_json, write_text, write_whole


def message_of(function, *arguments):
    with pytest.raises(InvalidFileError) as caught:
        function(*arguments)
    assert caught.value.__cause__ is None
    return str(caught.value)


def content(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("as_path", [str, Path])
def test_a_text_is_written_and_read(as_path, tmp_path):
    path = as_path(tmp_path / "numbers.json")
    write_text(path, '{"a": [1, 2.5], "b": "ä"}')
    assert Path(path).read_bytes() == '{"a": [1, 2.5], "b": "ä"}'.encode()
    assert read_json(path) == {"a": [1, 2.5], "b": "ä"}
    assert content(tmp_path) == ["numbers.json"]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old and long")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert content(tmp_path) == ["a.txt"]


def test_a_new_file_has_the_usual_rights(tmp_path):
    usual = tmp_path / "usual"
    usual.write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


@pytest.mark.parametrize("error", [ValueError("half way"), KeyboardInterrupt()])
def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(error, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write(temporary):
        assert temporary.parent == tmp_path  # one move within one file system
        assert temporary.suffix == ".txt"  # writers that go by the ending
        temporary.write_text("half")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, write)
    assert path.read_text() == "old"
    assert content(tmp_path) == ["a.txt"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    def write(temporary):
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.txt"
    assert message_of(write_whole, path, write) == (
        f"Cannot write {str(path)!r}: No space left on device."
    )
    assert content(tmp_path) == []


def test_an_error_without_a_number_is_named(tmp_path):
    def write(temporary):
        raise OSError("the library said no")

    path = tmp_path / "a.txt"
    message = message_of(write_whole, path, write)
    assert message == f"Cannot write {str(path)!r}: the library said no."


def test_a_missing_folder(tmp_path):
    path = tmp_path / "nowhere" / "a.txt"
    assert message_of(write_text, path, "") == (
        f"Cannot write {str(path)!r}: the folder does not exist."
    )
    assert content(tmp_path) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "a.txt"
    assert message_of(write_text, path, "") == (
        f"Cannot write {str(path)!r}: the folder does not exist."
    )


def test_a_path_that_is_a_folder(tmp_path):
    message = message_of(write_text, tmp_path, "")
    assert message == f"Cannot write {str(tmp_path)!r}: it is a folder."
    assert content(tmp_path) == []


def test_a_name_that_is_too_long(tmp_path):
    path = tmp_path / ("a" * 300)
    assert message_of(write_text, path, "") == f"Cannot write {str(path)!r}: File name too long."
    assert content(tmp_path) == []


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="everything is writable to root"
)
def test_a_folder_without_write_permission(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    path = folder / "a.txt"
    assert message_of(write_text, path, "") == f"Cannot write {str(path)!r}: Permission denied."
    assert content(folder) == []


def test_a_folder_that_refuses_files(tmp_path, monkeypatch):
    """What the test above sees, for those who run tests as root."""

    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("diffgmm.files.tempfile.mkstemp", refuse)
    path = tmp_path / "a.txt"
    assert message_of(write_text, path, "") == f"Cannot write {str(path)!r}: Permission denied."


def test_reading_what_is_not_there(tmp_path):
    path = tmp_path / "a.json"
    assert message_of(read_json, path) == f"Cannot read {str(path)!r}: No such file or directory."


def test_reading_a_folder(tmp_path):
    assert message_of(read_json, tmp_path) == f"Cannot read {str(tmp_path)!r}: Is a directory."


@pytest.mark.parametrize("bad", [b"", b"{", b"weights: 1", b"\xff\xfe\x00", b"{'a': 1}"])
def test_reading_what_is_not_json(bad, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(bad)
    assert message_of(read_json, path) == f"Cannot read {str(path)!r}: it is not JSON."


def test_the_error_is_a_value_error():
    assert issubclass(InvalidFileError, ValueError)
