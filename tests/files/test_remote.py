"""Files at a URL, on a real S3 server: whole or not there, and every fault told in a sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import object_store
import pytest

from hardneg.errors import DataError, HardnegError, JobError, MissingExtraError, StoreError
from hardneg.files.remote import Remote
from hardneg.paths import placed


@pytest.fixture
def remote(s3: object_store.Store) -> Remote:
    return Remote(s3.url)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 400)
    return tmp_path / "file"


def test_files_go_there_are_listed_and_come_back(remote: Remote, file: Path, tmp_path: Path) -> None:
    for names in (("a",), ("b", "c")):
        remote.at(*names).put(file)
    assert {name: item.size for name, item in remote.files().items()} == {"a": 102_400, "b/c": 102_400}
    assert set(remote.files(deep=False)) == {"a"}
    assert remote.one() is None
    assert remote.at("a").one() == remote.files()["a"]
    remote.fetch(remote.files(), tmp_path / "back")
    assert (tmp_path / "back" / "b" / "c").read_bytes() == file.read_bytes()
    assert sorted(path.name for path in (tmp_path / "back").rglob("*")) == ["a", "b", "c"]
    assert (tmp_path / "back" / "a").stat().st_mtime == remote.files()["a"].time
    remote.remove(["a", "never"])
    assert set(remote.files()) == {"b/c"}
    assert remote.at("a").read() is None


def test_another_content_is_another_version(remote: Remote, file: Path) -> None:
    remote.at("a").put(file)
    first = remote.files()
    remote.at("a").put(file)
    assert remote.files()["a"].version == first["a"].version
    file.write_bytes(file.read_bytes()[::-1])
    remote.at("a").put(file)
    assert remote.files()["a"].version != first["a"].version


def test_of_two_that_create_a_file_one_does(remote: Remote) -> None:
    assert [remote.at("whole").create(content) for content in (b"one", b"two")] == [True, False]
    assert remote.at("whole").read() == b"one"


def test_what_is_cut_off_is_not_there(remote: Remote, file: Path, s3: object_store.Store) -> None:
    remote.at("a").put(file)
    earlier = s3.contents("a")
    file.write_bytes(file.read_bytes()[::-1])
    s3.line.cut_after(40_000)
    with pytest.raises(StoreError, match=rf"{remote.url}/a: the server cannot be reached or broke off .* run again"):
        remote.at("a").put(file)
    s3.line.mend()
    assert s3.contents("a") == earlier
    remote.at("a").put(file)
    assert s3.contents("a") != earlier


def test_of_what_is_cut_off_on_its_way_here_nothing_stays(
    remote: Remote, file: Path, s3: object_store.Store, tmp_path: Path
) -> None:
    remote.at("a").put(file)
    found = remote.files()
    s3.line.cut_after(1)
    with pytest.raises(StoreError, match="broke off"):
        remote.fetch(found, tmp_path / "back")
    assert not list((tmp_path / "back").iterdir())
    s3.line.mend()
    object.__setattr__(found["a"], "size", 102_401)
    with pytest.raises(StoreError, match=r"a: 102,400 of 102,401 bytes arrived; run again"):
        remote.fetch(found, tmp_path / "back")
    assert not list((tmp_path / "back").iterdir())


@pytest.mark.parametrize(
    ("url", "error", "told"),
    [
        ("gs://bucket/a", MissingExtraError, r'gs://bucket/a needs `gcsfs`, which is not .* "hardneg\[gs\]"'),
        ("nix://bucket/a", JobError, "a file does not appear whole at `nix://`"),
        ("https://127.0.0.1:1/a", JobError, "a file does not appear whole at `https://`; name an object store"),
    ],
)
def test_urls_of_no_use(url: str, error: type[HardnegError], told: str, file: Path) -> None:
    with pytest.raises(error, match=told):
        Remote(url).put(file)


def test_a_bucket_that_is_not_there_and_missing_keys(
    s3: object_store.Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hardneg.files import remote

    for act in (Remote("s3://nowhere/a").refuse_unwritable, lambda: Remote("s3://nowhere/a").put(file)):
        with pytest.raises(DataError, match="s3://nowhere/a: there is no such bucket or file; see that the name is"):
            act()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    remote._opened.cache_clear()
    with pytest.raises(JobError, match=r"not allowed, or no credentials \(NoCred.*; set AWS_ACCESS_KEY_ID and"):
        Remote(s3.url).files()
    remote._opened.cache_clear()


def test_names_that_lead_out_of_a_folder_are_refused(s3: object_store.Store, file: Path) -> None:
    s3.files.put_file(str(file), f"{s3.url}/../out")
    with pytest.raises(DataError, match=r"the file name '\.\./out' leads out of the folder"):
        Remote(s3.url).files()


def test_keys_do_not_stand_in_urls() -> None:
    with pytest.raises(JobError, match=r"^s3://…: the URL has a key in it") as caught:
        placed("s3://name:hush@bucket/a")
    assert "hush" not in str(caught.value)
    assert placed("abfs://container@account.dfs.core.windows.net/a/").endswith("net/a")
    with pytest.raises(JobError, match="file systems in each other"):
        placed("zip://a::s3://bucket/b.zip")


def test_jobs_without_urls_do_not_load_the_library() -> None:
    code = "import sys, hardneg.job.run_folder, hardneg.cli; assert not {'fsspec', 's3fs'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
