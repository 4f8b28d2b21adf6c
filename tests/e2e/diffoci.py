#!/usr/bin/env python3
"""Verdicts of `audit` and `diff` on altered images beside those of diffoci, which others wrote: strict ones
beside `audit`, `--semantic` ones beside `diff`.

By hand, for no package has diffoci (it builds from its source with Debian 13's golang packages and no
module proxy): DIFFOCI=/path/to/diffoci python3 tests/e2e/diffoci.py"""

import copy
import gzip
import hashlib
import io
import json
import os
import tarfile

from audit import ENTRY, TIER, altered
from common import ROOT, debstrata, expect, main, new_project, run, say
from layouts import need, work

NAME = "registry.example.org/team/static"


class Image:
    """The image of TIER for one architecture, as a build wrote it; and others like it."""

    def __init__(self, project):
        self.blobs = project / "out/debian13/oci/blobs/sha256"
        index = json.loads((self.blobs / "../../index.json").read_text())
        [top] = [each for each in index["manifests"] if each["annotations"]["org.opencontainers.image.ref.name"] == "static"]
        self.index = json.loads(self.blob(top))
        [entry] = self.index["manifests"]
        self.manifest = json.loads(self.blob(entry))
        self.config = json.loads(self.blob(self.manifest["config"]))
        [layer] = self.manifest["layers"]
        self.packed = self.blob(layer)

    def blob(self, descriptor):
        return (self.blobs / descriptor["digest"].removeprefix("sha256:")).read_bytes()

    def write(self, name, packed=None, settings=None, other=None):
        """A layout of an image with another layer, other settings of the config, or other fields of it."""
        folder = work() / name
        (folder / "blobs/sha256").mkdir(parents=True)

        def put(data, descriptor, **fields):
            data = data if isinstance(data, bytes) else json.dumps(data, separators=(",", ":")).encode()
            digest = hashlib.sha256(data).hexdigest()
            (folder / "blobs/sha256" / digest).write_bytes(data)
            return {**descriptor, "digest": f"sha256:{digest}", "size": len(data), **fields}

        packed = packed or self.packed
        config = copy.deepcopy(self.config) | (other or {})
        config["config"] |= settings or {}
        config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(gzip.decompress(packed)).hexdigest()]
        manifest = self.manifest | {"config": put(config, self.manifest["config"]), "layers": [put(packed, self.manifest["layers"][0])]}
        index = self.index | {"manifests": [put(manifest, self.index["manifests"][0])]}
        names = {"org.opencontainers.image.ref.name": "static", "io.containerd.image.name": f"{NAME}:{name}"}
        top = put(index, {"mediaType": self.index["mediaType"]}, annotations=names)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
        with tarfile.open(work() / f"{name}.tar", "w") as archive:
            archive.add(folder, ".")
        with open(work() / f"{name}.tar", "rb") as archive:
            diffoci("load", stdin=archive)
        return folder


def diffoci(*arguments, **options):
    program = os.environ.get("DIFFOCI") or need("diffoci", "(nothing: see the head of this file)")
    return run(program, "--backend", "local", "--local-cache", work() / "store", *arguments, **options)


def reordered(good):
    """Two files that follow each other, the other way round."""
    members = tarfile.open(fileobj=io.BytesIO(good)).getmembers()
    one, two = next((one, two) for one, two in zip(members, members[1:]) if one.isfile() and two.isfile())
    end = two.offset_data + (two.size + 511) // 512 * 512
    return good[:one.offset] + good[two.offset:end] + good[one.offset:two.offset] + good[end:]


def verdicts_agree():
    """Altered images: `audit` sees what diffoci sees, `diff` what it calls a difference of meaning."""
    project = new_project(work() / "project", ["debian13"])
    cache = ["--cache", ROOT / "cache"]
    debstrata(project, *cache, "build", TIER, "--locked", "--format", "oci")
    image = Image(project)
    good = gzip.decompress(image.packed)

    def layer(tar, level=6, mtime=0):
        return {"packed": gzip.compress(tar, level, mtime=mtime)}

    # Name, what is changed, whether it means something to `--semantic`, and to `diff`.
    unmeant = ("time", "padding", "trailing data")
    # An entry that stands there twice unpacks to the same tree.
    cases = [(name, layer(tar), name not in unmeant, name not in (*unmeant, "twice")) for name, tar, _, _ in altered(good)]
    history = [line | {"created_by": "x"} for line in image.config["history"]]
    cases += [
        ("order", layer(reordered(good)), False, False),
        ("level", layer(good, level=1), False, False),
        ("gzip's time", layer(good, mtime=7), False, False),
        ("entrypoint", {"settings": {"Entrypoint": ["/x"]}}, True, True),
        ("environment", {"settings": {"Env": [*image.config["config"]["Env"], "A=b"]}}, True, True),
        ("created", {"other": {"created": "2001-01-01T00:00:00Z"}}, False, False),
        ("history", {"other": {"history": history}}, False, False),
    ]
    image.write("good")
    for name, change, semantic, meant in cases:
        tag = "".join(c if c.isalpha() else "-" for c in name)
        folder = image.write(tag, **change)
        pair = [f"{NAME}:good", f"{NAME}:{tag}"]
        strict = diffoci("diff", "--pull", "never", *pair, check=False)
        ours = debstrata(project, *cache, "audit", TIER, "--against", folder, "--json", check=False)
        expect(strict.returncode == 1 and ours.returncode == 1, f"{name}: diffoci {strict.returncode}, audit {ours.returncode}")
        named = any(each["entry"] == f"/{ENTRY}" for each in json.loads(ours.stdout)["differences"])
        expect(named or ENTRY not in strict.stdout, f"{name}: diffoci names {ENTRY}, audit does not")
        loose = diffoci("diff", "--semantic", "--pull", "never", *pair, check=False)
        expect(loose.returncode == semantic, f"{name}: diffoci --semantic: {loose.stdout}{loose.stderr}")
        ours = json.loads(debstrata(project, "diff", f"oci:{work()}/good:static", f"oci:{folder}:static", "--json").stdout)
        expect(ours["equal"] != meant, f"{name}: diff says equal: {ours['equal']}")
    say(f"{len(cases)} pairs")


if __name__ == "__main__":
    main([verdicts_agree])
