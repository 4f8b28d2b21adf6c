#!/usr/bin/env python3
"""Pushes to Debian's docker-registry on loopback, in plain and with TLS and a login, and reads back with
skopeo. Needs docker-registry, skopeo, apache2-utils and openssl."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

from common import BINARY, debstrata, expect, main, new_project, run, scratch

SETTINGS = """version: 0.1
log: {{level: info, formatter: json}}
storage: {{filesystem: {{rootdirectory: {root}}}}}
http: {{addr: "127.0.0.1:{port}", secret: x{tls}}}
{auth}
"""


@contextlib.contextmanager
def registry(folder, tls=None, auth=None):
    """A registry of its own: its address, and the path of its log."""
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings, log = folder / "config.yml", folder / "log"
    settings.write_text(SETTINGS.format(
        root=folder / "store", port=port,
        tls=f", tls: {{certificate: {tls[0]}, key: {tls[1]}}}" if tls else "",
        auth=f"auth: {{htpasswd: {{realm: r, path: {auth}}}}}" if auth else "",
    ))
    with log.open("w") as out:
        process = subprocess.Popen(["docker-registry", "serve", str(settings)], stdout=out, stderr=out)
    try:
        limit = time.monotonic() + 30
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            expect(process.poll() is None and time.monotonic() < limit, f"the registry does not start: {log.read_text()}")
            time.sleep(0.02)
        yield f"127.0.0.1:{port}", log
    finally:
        process.terminate()
        process.wait()


def requests(log):
    """Method and path of every request that a registry has answered."""
    found = []
    for line in log.read_text().splitlines():
        match = re.search(r'"(GET|HEAD|POST|PATCH|PUT|DELETE) (\S+) HTTP', line)
        if match:
            found.append(match.groups())
    return found


def put(layout, media_type, data):
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def make_layout(layout, name, sizes):
    """A layout of one image for two platforms, made by hand."""
    (layout / "blobs/sha256").mkdir(parents=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    base = "application/vnd.oci.image."
    manifests = []
    for architecture in ("amd64", "arm64"):
        layers = [put(layout, base + "layer.v1.tar", os.urandom(size)) for size in sizes]
        config = {"architecture": architecture, "os": "linux",
                  "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}
        config = put(layout, base + "config.v1+json", json.dumps(config).encode())
        manifest = {"schemaVersion": 2, "mediaType": base + "manifest.v1+json", "config": config, "layers": layers}
        manifest = put(layout, base + "manifest.v1+json", json.dumps(manifest).encode())
        manifests.append({**manifest, "platform": {"architecture": architecture, "os": "linux"}})
    index = {"schemaVersion": 2, "mediaType": base + "index.v1+json", "manifests": manifests}
    root = put(layout, base + "index.v1+json", json.dumps(index).encode())
    named = {**root, "annotations": {"org.opencontainers.image.ref.name": name}}
    (layout / "index.json").write_text(json.dumps({**index, "manifests": [named]}))
    return root["digest"]


@contextlib.contextmanager
def project(sizes=(100, 3_000_000, 20_000_000)):
    with scratch() as folder:
        root = new_project(folder / "project", ["debian13"])
        # A tier with one image: the layout is made by hand.
        (root / "manifests/debian13/plain.toml").write_text('packages = ["base-files"]\ndependencies = "none"\n')
        digest = make_layout(root / "out/debian13/oci", "plain", sizes)
        yield folder, root, digest


def same_blobs(layout, other):
    mine = {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
    theirs = {path.name: path.read_bytes() for path in (other / "blobs/sha256").iterdir()}
    expect(mine == theirs, "what skopeo copied back differs")


def writes(log):
    return [one for one in requests(log) if one[0] not in ("GET", "HEAD")]


def plain():
    """Without TLS: pushed, copied back byte for byte, and nothing sent the second time."""
    with project() as (folder, root, digest), registry(folder / "registry") as (host, log):
        command = ["push", "debian13/plain", f"{host}/team/image", "--json"]
        pushed = json.loads(debstrata(root, *command).stdout)
        expect([tag["tag"] for tag in pushed["images"][0]["tags"]] == ["plain"], f"tags: {pushed}")
        expect(pushed["images"][0]["digest"] == digest, "digest")
        run("skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
            f"docker://{host}/team/image:plain", f"oci:{folder}/back:plain")
        same_blobs(root / "out/debian13/oci", folder / "back")
        sent = len(writes(log))
        expect(sent > 0, "the log shows no request")
        again = json.loads(debstrata(root, *command).stdout)
        expect(len(writes(log)) == sent, f"sent again: {writes(log)[sent:]}")
        expect(all(blob["how"] == "present" for blob in again["blobs"]), "blobs")
        # To another repository nothing but manifests: the blobs are mounted.
        other = json.loads(debstrata(root, "push", "debian13/plain", f"{host}/team/other:{{digest}}",
                                     "--mount-from", "team/image", "--json").stdout)
        expect({blob["how"] for blob in other["blobs"]} == {"mounted"}, f"mounted: {other['blobs']}")
        tag = other["images"][0]["tags"][0]["tag"]
        expect(digest.startswith(f"sha256:{tag}"), tag)
        run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{host}/team/other:{tag}")


def tls_and_login():
    """With TLS by an authority of our own and a login: in a file, from the environment, and none."""
    with project() as (folder, root, _):
        key, certificate = folder / "key.pem", folder / "ca.pem"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE", "-addext", "extendedKeyUsage=serverAuth")
        (folder / "htpasswd").write_text(run("htpasswd", "-Bbn", "me", "s3cret").stdout)
        clean = {"HOME": folder, "PATH": os.environ["PATH"]}
        trusting = {**clean, "SSL_CERT_FILE": certificate}
        with registry(folder / "registry", (certificate, key), folder / "htpasswd") as (host, log):
            def push(status, says, env):
                done = subprocess.run([BINARY, "-C", root, "push", "debian13/plain", f"{host}/team/image"],
                                      env=env, capture_output=True, text=True)
                expect(done.returncode == status and says in " ".join(done.stderr.replace("| ", "").split()),
                       f"status {done.returncode}: {done.stdout}{done.stderr}")
                expect("s3cret" not in done.stderr and "wr0ng" not in done.stderr, "a secret is shown")

            push(3, "no secure connection", clean)
            push(2, "no credential", trusting)
            login = {"DEBSTRATA_REGISTRY_USER": "me", "DEBSTRATA_REGISTRY_PASSWORD": "wr0ng"}
            push(2, "user me of DEBSTRATA_REGISTRY_USER", {**trusting, **login})
            expect(not writes(log) or all(path.endswith("/uploads/") for _, path in writes(log)), "something was sent")
            push(0, "", {**trusting, **login, "DEBSTRATA_REGISTRY_PASSWORD": "s3cret"})
            # What skopeo writes as a login, and reads as one.
            run("skopeo", "login", "--tls-verify=false", "--authfile", folder / "auth.json", "-u", "me", "-p", "s3cret", host)
            sent = len(writes(log))
            push(0, "", {**trusting, "REGISTRY_AUTH_FILE": folder / "auth.json"})
            expect(len(writes(log)) == sent, "sent again")
            run("skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--authfile", folder / "auth.json",
                f"docker://{host}/team/image:plain", f"oci:{folder}/back:plain")
            same_blobs(root / "out/debian13/oci", folder / "back")


def signatures():
    """A signature that openssl finds right, by a key that openssl made, and one beside it by a program."""
    with project() as (folder, root, digest), registry(folder / "registry") as (host, _):
        key, public = folder / "key.pem", folder / "key.pub"
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        run("openssl", "ec", "-in", key, "-pubout", "-out", public)
        signer = folder / "signer"
        signer.write_text(f"#!/bin/sh\necho \"$1\" >> {folder}/signed\n")
        signer.chmod(0o755)
        debstrata(root, "push", "debian13/plain", f"{host}/team/image", "--sign-key", key, "--sign-with", f"{signer} {{}}")
        expect((folder / "signed").read_text() == f"{host}/team/image@{digest}\n", "the program was not run")

        def get(path, accept="*/*"):
            request = urllib.request.Request(f"http://{host}/v2/team/image/{path}", headers={"Accept": accept})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()

        tag = digest.replace(":", "-") + ".sig"
        manifest = json.loads(get(f"manifests/{tag}", "application/vnd.oci.image.manifest.v1+json"))
        layer = manifest["layers"][0]
        payload, signature = folder / "payload", folder / "signature"
        payload.write_bytes(get(f"blobs/{layer['digest']}"))
        signature.write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
        run("openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, payload)
        said = json.loads(payload.read_text())["critical"]
        expect(said["image"]["docker-manifest-digest"] == digest, f"signed: {said}")
        expect(said["identity"]["docker-reference"] == f"{host}/team/image", f"signed: {said}")
        payload.write_bytes(payload.read_bytes() + b" ")
        done = run("openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, payload, check=False)
        expect(done.returncode != 0, "openssl takes anything")


def figures():
    """A layer of 200 MB: how fast, with how much memory; and a push of what is there."""
    with project((200_000_000,)) as (folder, root, _), registry(folder / "registry") as (host, _):
        arguments = [BINARY, "-C", root, "push", "debian13/plain", f"{host}/team/image", "--json"]
        for what in ("400 MB", "nothing"):
            started = time.monotonic()
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
            memory = 0
            while process.poll() is None:
                # Of the program itself; rusage counts this script as well, whose image it was for a moment.
                with contextlib.suppress(OSError):
                    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                    memory = max([memory] + [int(kb) for kb in re.findall(r"VmHWM:\s+(\d+) kB", status)])
                time.sleep(0.005)
            expect(process.returncode == 0, "the push failed")
            print(f"e2e: {what} pushed in {(time.monotonic() - started) * 1000:.0f} ms, {memory // 1024} MB of memory",
                  flush=True)
            expect(memory < 100 * 1024, "more than 100 MB of memory")


if __name__ == "__main__":
    main([plain, tls_and_login, signatures, figures])
