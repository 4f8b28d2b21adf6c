#!/usr/bin/env python3
"""A stand-in for cosign where docs/ run it: a registry on loopback, and openssl in the place of its judgement.

    cosign verify --key key.pub --insecure-ignore-tlog REGISTRY/REPO:TAG     is the image's signature by this key?
    cosign sign --yes [--key cosign.key] REGISTRY/REPO@DIGEST                is the image there? Signs nothing."""

import base64
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

INDEX, MANIFEST = "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json"


def get(host, path, accept="*/*"):
    request = urllib.request.Request(f"http://{host}/v2/{path}", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read(), answer.headers.get("Docker-Content-Digest")


def verify(key, reference):
    host, _, rest = reference.partition("/")
    repository, _, tag = rest.rpartition(":")
    _, digest = get(host, f"{repository}/manifests/{tag}", INDEX)
    signed = json.loads(get(host, f"{repository}/manifests/{digest.replace(':', '-')}.sig", MANIFEST)[0])
    [layer] = signed["layers"]
    payload = get(host, f"{repository}/blobs/{layer['digest']}")[0]
    if json.loads(payload)["critical"]["image"]["docker-manifest-digest"] != digest:
        sys.exit("the signature is of another image")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "payload").write_bytes(payload)
        (folder / "signature").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
        subprocess.run(["openssl", "dgst", "-sha256", "-verify", key, "-signature", folder / "signature", folder / "payload"],
                       check=True)


match sys.argv[1:]:
    case ["verify", "--key", key, "--insecure-ignore-tlog", reference]:
        verify(key, reference)
    case ["sign", "--yes", *rest] if len(rest) == 1 or rest[:-1] == ["--key", "cosign.key"]:
        host, _, path = rest[-1].partition("/")
        get(host, path.replace("@", "/manifests/"), INDEX)
    case other:
        sys.exit(f"the stand-in knows no {other}")
