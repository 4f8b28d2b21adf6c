#!/usr/bin/env python3
"""A tier on an image that mmdebstrap made: curl, and what it needs, on a minimal Debian. Only what is
missing is added, and the whole starts in a chroot. Needs root, mmdebstrap, umoci, and mirrors of Debian.
An argument names a tar that mmdebstrap made before."""

import gzip
import hashlib
import json
import pathlib
import re
import shutil
import sys
import tarfile

from common import Wrong, debstrata, expect, host, new_project, run, say, scratch

DISTRIBUTION, SUITE = "debian13", "trixie"
GO = {"armhf": "arm", "i386": "386", "ppc64el": "ppc64le"}


def blob(layout, content):
    digest = hashlib.sha256(content).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(content)
    return f"sha256:{digest}"


def described(layout, media_type, content):
    return {"mediaType": media_type, "digest": blob(layout, content), "size": len(content)}


def layout_of(tar, layout):
    """An OCI layout of one layer, written by these few lines; the digest of its manifest."""
    (layout / "blobs/sha256").mkdir(parents=True)
    content = tar.read_bytes()
    config = {"architecture": GO.get(host(), host()), "os": "linux",
              "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["bash"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}"]},
              "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "mmdebstrap"}]}
    prefix = "application/vnd.oci.image"
    manifest = {"schemaVersion": 2, "mediaType": f"{prefix}.manifest.v1+json",
                "config": described(layout, f"{prefix}.config.v1+json", json.dumps(config).encode()),
                "layers": [described(layout, f"{prefix}.layer.v1.tar+gzip", gzip.compress(content, 1, mtime=0))]}
    entry = described(layout, f"{prefix}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"org.opencontainers.image.ref.name": "base"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return entry["digest"]


def installed(tar):
    """What dpkg lists in a tar: by name the version."""
    with tarfile.open(tar) as archive:
        text = archive.extractfile("./var/lib/dpkg/status").read().decode()
    found = {}
    for stanza in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]*): (.*)$", stanza, re.M))
        if fields.get("Status") == "install ok installed":
            found[fields["Package"]] = fields["Version"]
    return found


def check(folder):
    distribution = DISTRIBUTION
    project = new_project(folder / "project", [distribution])
    manifests = project / "manifests" / distribution
    for path in manifests.glob("*.toml"):
        if path.name != "archive.toml":
            path.unlink()
    (manifests / "debstrata.lock").unlink()
    # Only this machine's: the base is of it alone.
    archive = (manifests / "archive.toml").read_text()
    archive = re.sub(r"^architectures = .*$", f'architectures = ["{host()}"]', archive, flags=re.M)
    (manifests / "archive.toml").write_text(archive)
    tar = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "base.tar"
    if not tar.exists():
        expect(shutil.which("mmdebstrap"), "there is no program mmdebstrap: apt-get install mmdebstrap")
        say("making the base")
        run("mmdebstrap", "--variant=minbase", "--format=tar", SUITE, tar)
    digest = layout_of(tar, manifests / "base")
    (manifests / "top.toml").write_text(
        f'summary = "curl on a Debian of others"\nparent = {{ oci = "oci:base:base", digest = "{digest}" }}\n'
        'packages = ["curl", "coreutils"]\n[image]\nentrypoint = ["/usr/bin/curl"]\n')
    say("building on it")
    debstrata(project, "build", "--format", "oci,tar.gz")
    before = installed(tar)
    shown = json.loads(debstrata(project, "show", "top", "--json").stdout)
    there = {one["name"]: one["version"] for one in shown["packages"] if "image" in one}
    expect(there == before, f"not the base's packages: {sorted(set(there.items()) ^ set(before.items()))}")
    added = [one["name"] for one in shown["packages"] if "image" not in one]
    expect("curl" in added and "libcurl4t64" in added, f"curl is not added: {added}")
    expect(not set(added) & set(before), f"added again: {set(added) & set(before)}")
    debstrata(project, "check", "top", check=False)
    debstrata(project, "audit", "top")

    say("unpacking with umoci")
    expect(shutil.which("umoci"), "there is no program umoci: apt-get install umoci")
    bundle = folder / "bundle"
    run("umoci", "unpack", "--image", f"{project}/out/{distribution}/oci:top", bundle)
    root = bundle / "rootfs"
    version = run("chroot", root, "/usr/bin/curl", "--version").stdout
    expect(version.startswith("curl "), f"curl says {version!r}")
    expect("https" in version, "curl has no TLS")
    lacking = [line for line in run("chroot", root, "ldd", "/usr/bin/curl").stdout.splitlines() if "not found" in line]
    expect(not lacking, f"curl lacks {lacking}")
    expect(set(run("chroot", root, "dpkg-query", "-W", "-f", "${Package}\n").stdout.split()) == set(before),
           "dpkg's own list is not the base's")
    config = run("umoci", "stat", "--image", f"{project}/out/{distribution}/oci:top").stdout
    expect("mmdebstrap" in config and f"debstrata {distribution}/top" in config, f"history: {config}")

    say("the same bytes from nothing")
    layer = (project / f"out/{distribution}/{host()}/top.tar.gz").read_bytes()
    shutil.rmtree(project / "cache/derived")
    shutil.rmtree(project / "out")
    debstrata(project, "build", "--locked", "--format", "oci,tar.gz")
    expect((project / f"out/{distribution}/{host()}/top.tar.gz").read_bytes() == layer, "other bytes")


def main():
    with scratch() as folder:
        try:
            check(folder)
        except Wrong as wrong:
            print(f"e2e: foreign: {wrong}", file=sys.stderr)
            return 1
    say("foreign: fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
