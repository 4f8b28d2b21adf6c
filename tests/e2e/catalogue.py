#!/usr/bin/env python3
"""Starts the program of every catalogue tier in a chroot of its merged layers, for the architecture of
this machine. Needs root, and the layers that `debstrata build` wrote to out/."""

import json
import os
import shutil
import subprocess

from common import ROOT, Wrong, debstrata, expect, main, run, say, scratch

ARCHITECTURE = run("dpkg", "--print-architecture").stdout.strip()

HELLO = """
import java.util.*;
public class Hello {
    public static void main(String[] arguments) throws Exception {
        var words = new TreeMap<String, Integer>(Map.of("hello", 1));
        System.out.println(words + " " + java.nio.charset.Charset.defaultCharset()
            + " " + java.security.KeyStore.getInstance(new java.io.File("/etc/ssl/certs/java/cacerts"),
                "changeit".toCharArray()).size() / 100);
    }
}
"""

CLONE = """
set -e
cd /tmp
git init --quiet --initial-branch main origin
git -C origin -c user.name=a -c user.email=a@example.org commit --quiet --allow-empty -m first
git clone --quiet origin copy
git -C copy log --format=%s
"""

MODULES = """
import http.server, ssl, sqlite3, ctypes, zoneinfo, hashlib, lzma, bz2, zlib, json, decimal, curses, readline, uuid
print(sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0],
      len(ssl.create_default_context().get_ca_certs()) > 100,
      ctypes.CDLL("libc.so.6").abs(-3),
      zoneinfo.ZoneInfo("Europe/Berlin"))
"""

NODE = """
const sha256 = require('crypto').createHash('sha256').update('').digest('hex').slice(0, 8);
console.log(require('zlib').gzipSync('x').length > 9, Intl.NumberFormat('de').format(1234.5), sha256);
"""


def java(version):
    return [
        (["/usr/bin/java", "-version"], [f'openjdk version "{version}.']),
        (["/usr/bin/java", "-cp", "/test", "Hello"], ["{hello=1} UTF-8 1"]),
    ]


PYTHON = [
    (["/usr/bin/python3", "-c", "import ssl, sqlite3, ctypes; print('imported')"], ["imported"]),
    (["/usr/bin/python", "-c", MODULES], ["42 True 3 Europe/Berlin"]),
    (["/usr/bin/python3", "-c", "import ctypes.util; print(ctypes.util.find_library('ssl'))"], ["libssl.so.3"]),
]

# Tier: what is run in it, as [[program, argument ...]], with what its output must hold. A program `sh`
# is busybox's shell, which is laid beside the tier: a tier need not have one.
PROGRAMS = {
    "debian12/openjdk17": java(17),
    "debian12/python3": PYTHON,
    "debian13/busybox": [(["/busybox/sh", "-c", "echo $((6 * 7)); ls / | head -1"], ["42", "bin"])],
    "debian13/curl": [
        (["/usr/bin/curl", "--version"], ["https", "OpenSSL/3."]),
        (["/usr/bin/curl", "--silent", "file:///etc/passwd"], ["nonroot:x:65532"]),
    ],
    "debian13/git": [
        (["/usr/bin/git", "--version"], ["git version 2."]),
        (["sh", "-c", CLONE], ["first"]),
    ],
    "debian13/iptables": [
        (["/usr/sbin/iptables", "--version"], ["iptables v1."]),
        (["/usr/sbin/ip6tables-nft", "--version"], ["nf_tables"]),
    ],
    "debian13/nginx": [(["/usr/sbin/nginx", "-t"], ["test is successful"])],
    "debian13/nodejs": [
        (["/usr/bin/node", "--version"], ["v20."]),
        (["/usr/bin/node", "-e", NODE], ["true 1.234,5 e3b0c442"]),
    ],
    "debian13/openjdk21": java(21),
    "debian13/openjdk25": java(25),
    "debian13/psql": [
        (["/usr/bin/psql", "--version"], ["psql (PostgreSQL) 17."]),
        (["/usr/bin/pg_dump", "--version"], ["pg_dump (PostgreSQL) 17."]),
    ],
    "debian13/python3": PYTHON,
}


def layers(tier):
    """The layers of a tier's chain, parents first."""
    shown = json.loads(debstrata(ROOT, "show", tier, "--arch", ARCHITECTURE, "--json").stdout)
    folder = ROOT / "out" / tier.split("/")[0] / ARCHITECTURE
    return [folder / f"{layer['tier']}.tar.gz" for layer in shown["layers"]]


def root_of(tier, folder, beside):
    """The merged tree, with the few things that a container runtime adds, and what the test needs."""
    root = folder / tier.replace("/", "-")
    root.mkdir()
    for layer in layers(tier):
        expect(layer.exists(), f"{layer} is not there: run `debstrata build` first")
        run("tar", "--extract", "--gzip", "--numeric-owner", "--same-permissions", "--directory", root, "--file", layer)
    (root / "dev").mkdir(exist_ok=True)
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        if not (root / "dev" / name).exists():
            os.mknod(root / "dev" / name, 0o666 | 0o020000, os.makedev(1, minor))
    (root / "proc").mkdir(exist_ok=True)
    for path, source in beside.items():
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, path)
    return root


def start(tier, root, command, wanted, environment):
    if command[0] == "sh":
        command = ["/test/busybox", *command]
    # Namespaces of its own: the tier sees its own /proc, and nothing stays mounted.
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--net", "sh", "-c",
         'mount -t proc proc "$1/proc"; root=$1; shift; exec chroot "$root" "$@"', "sh", root, *command],
        capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=300,
    )
    said = done.stdout + done.stderr
    expect(done.returncode == 0, f"{tier}: {command} ended with {done.returncode}\n{said}")
    for text in wanted:
        expect(text in said, f"{tier}: {command} does not say {text!r}\n{said}")


def every_program_starts():
    """The program of every catalogue tier starts in a chroot of its merged layers, and does its work."""
    if os.geteuid() != 0:
        raise Wrong("chroot needs root")
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8",
                   "HOME": "/root", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"}
    with scratch() as folder:
        (folder / "Hello.java").write_text(HELLO)
        run("javac", "--release", "17", "-d", folder, folder / "Hello.java")
        beside = {"test/busybox": shutil.which("busybox"), "test/Hello.class": folder / "Hello.class"}
        for tier, programs in PROGRAMS.items():
            root = root_of(tier, folder, beside)
            for command, wanted in programs:
                start(tier, root, command, wanted, environment)
            say(f"{tier}: {len(programs)} programs started")
            shutil.rmtree(root)


if __name__ == "__main__":
    main([every_program_starts])
