"""Whatever bytes a job's file holds: a job, or an error that names the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fuzzing import damaged, refused, tried
from hypothesis import given
from support import as_yaml, job_on

from hardneg.errors import UserError
from hardneg.job import document

GOOD = as_yaml(job_on()).encode()
HURTS = (
    b"!!bool x", b"!!int ''", b"!!float ''", b"!!timestamp x", b"!!binary a", b"!!python/name:os.system", b"!!set {a}", b"!!str",
    b"&a ", b"*a", b"<<: *a", b"[", b"]", b"{", b"}", b"? ", b": ", b"- ", b"\n---\n", b"\n...\n", b"%YAML 9.9\n", b"|\n", b">\n",
    b"\t", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\n", b"'", b'"', b"\\", b"9" * 5_000, b".nan", b".inf", b"-1", b"0x", b"1e999",
    b"2024-99-99", b"~", b"null", b"kind: ", b"kind: bm25", b"depth: 0", b"a: b", b"  ", b"!<tag:yaml.org,2002:int> x", b"\\ud800",
    b'"\\uD800"', b'"\\0"', "\u2028".encode(), b"api_key: sk-1",
)  # fmt: skip


@tried
@given(damaged((GOOD,), HURTS))
def test_a_jobs_file(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "job.yaml"
        file.write_bytes(data)
        with refused(UserError, str(file)):
            document.read(file)
