#!/usr/bin/env python3
"""The audit's verdicts on altered layers beside those of diffoscope, which others wrote: both must
call the same pairs different, and name the same entry."""

import gzip
import io
import json
import tarfile

from common import ROOT, debstrata, expect, host, main, new_project, run, scratch

TIER = "debian13/static"
ENTRY = "etc/passwd"


def seal(tar, at):
    tar[at + 148 : at + 156] = b" " * 8
    tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + 512])


def altered(good):
    """Name, bytes, the field that must be named, and whether diffoscope sees the entry."""
    member = tarfile.open(fileobj=io.BytesIO(good)).getmember(ENTRY)
    head, body = member.offset_data - 512, member.offset_data

    def field(at, value):
        tar = bytearray(good)
        tar[head + at : head + at + len(value)] = value
        seal(tar, head)
        return bytes(tar)

    content = bytearray(good)
    content[body + 3] ^= 1
    end = body + (member.size + 511) // 512 * 512
    padding = bytearray(good)
    padding[end - 1] = 1
    return [
        ("mode", field(100, b"0000600"), "mode", True),
        ("owner", field(108, b"0001750"), "uid", True),
        ("group", field(116, b"0001750"), "gid", True),
        ("time", field(136, b"00000000777"), "mtime", True),
        ("name", field(0, b"etc/passwx"), "name", True),
        ("content", bytes(content), "content", True),
        ("removed", good[:head] + good[end:], "missing", True),
        ("twice", good[:-1024] + good[head:end] + good[-1024:], "extra", False),
        ("padding", bytes(padding), "framing", False),
        ("trailing data", good + b"x", "framing", False),
    ]


def verdicts_agree():
    """Altered layers: both see the difference, and name the entry."""
    with scratch() as folder:
        project = new_project(folder / "project")
        debstrata(project, "build", TIER, "--locked", "--format", "tar.gz", "--cache", ROOT / "cache")
        packed = project / f"out/debian13/{host()}/static.tar.gz"
        good = gzip.decompress(packed.read_bytes())
        (folder / "good.tar").write_bytes(good)
        for name, tar, field, visible in altered(good):
            other = folder / "other.tar"
            other.write_bytes(tar)
            done = debstrata(
                project, "audit", TIER, "--against", other, "--json", "--cache", ROOT / "cache", check=False
            )
            expect(done.returncode == 1, f"{name}: the audit ended with {done.returncode}\n{done.stderr}")
            verdict = json.loads(done.stdout)
            found = {(one["entry"], one["field"]) for one in verdict["differences"]}
            wanted = None if name == "trailing data" else f"/{ENTRY}"
            expect((wanted, field) in found, f"{name}: {found}")
            told = run("diffoscope", "--text", "-", folder / "good.tar", other, check=False)
            expect(told.returncode == 1, f"{name}: diffoscope: {told.stderr}")
            expect(not visible or ENTRY[:-1] in told.stdout, f"{name}: diffoscope does not name {ENTRY}:\n{told.stdout}")


if __name__ == "__main__":
    main([verdicts_agree])
