#!/usr/bin/env python3
"""docs/json.md against what the verbs print: every key that comes out is in its table, with this type, and every key of
the tables that is not marked `?` comes out. Needs docker-registry, git, and the layers that `debstrata build` wrote."""

import gzip
import json
import os
import re
import shutil

from common import ROOT, debstrata, expect, main, run, say, scratch
from registry import registry

TYPES = {"string", "digest", "number", "boolean", "object", "objects", "strings", "numbers", "lists", "null"}


def tables():
    """Verb to key to (types, whether it may be absent)."""
    found, verb = {}, None
    for line in (ROOT / "docs/json.md").read_text().splitlines():
        if line.startswith("## "):
            verb = line[3:]
        elif row := re.match(r"\| (`.*`) \| ([a-z ]+) \|", line):
            types = set(row[2].split(" or "))
            expect(types <= TYPES, f"{verb}: {row[2]} is no type")
            for key in re.findall(r"`([^`]+)`", row[1]):
                expect(key.rstrip("?") not in found.setdefault(verb, {}), f"{verb}: {key} stands there twice")
                found[verb][key.rstrip("?")] = (types, key.endswith("?"))
    return found


def kind(value):
    if value is None or isinstance(value, bool):
        return {"null"} if value is None else {"boolean"}
    if isinstance(value, dict):
        return {"object"}
    if isinstance(value, str):
        return {"string", "digest"} if re.fullmatch("sha256:[0-9a-f]{64}", value) else {"string"}
    if isinstance(value, int):
        return {"number"}
    names = {str: "strings", int: "numbers", dict: "objects", list: "lists"}
    plural = {names[type(item)] for item in value}
    expect(len(plural) < 2, f"a list of several kinds: {value}")
    return plural or set(names.values())


def segments(key):
    """`a[].b` as a, [], b."""
    return tuple(re.findall(r"\[\]|[^.\[\]]+", key))


class Shape:
    """One table, and which of its keys were seen."""

    def __init__(self, name, table):
        self.name, self.seen = name, set()
        self.table = {segments(key): row for key, row in table.items()}

    def like(self, path):
        """The keys that stand for a path, those without `*` first."""
        fits = [key for key in self.table if len(key) == len(path)
                and all(one in (other, "*") for one, other in zip(key, path))]
        return sorted(fits, key=lambda key: key.count("*"))

    def check(self, value, path=()):
        place = f"{self.name}: {'.'.join(path)}"
        if path and path[-1] != "[]":
            keys = self.like(path)
            expect(keys, f"{place} is not in docs/json.md")
            self.seen.add(keys[0])
            types, _ = self.table[keys[0]]
            expect(types & kind(value), f"{place} is {value!r}, not {' or '.join(sorted(types))}")
            if "lists" in types:
                return
        if isinstance(value, dict):
            for key, (_, optional) in self.table.items():
                if len(key) == len(path) + 1 and key[-1] != "*" and all(o in (p, "*") for o, p in zip(key, path)):
                    expect(optional or key[-1] in value, f"{place} has no {key[-1]}")
        inner = value.items() if isinstance(value, dict) else [("[]", one) for one in value] if isinstance(value, list) else []
        for name, one in inner:
            if name != "[]" or isinstance(one, dict):
                self.check(one, (*path, name))

    def never_seen(self):
        """Keys that should have come out; not those within something optional that never did."""
        absent = {key for key, (_, optional) in self.table.items() if optional and key not in self.seen}
        within = lambda key: any(key[:length] in absent for length in range(1, len(key) + 1))
        return sorted(".".join(key) for key in self.table if key not in self.seen and not within(key))


def every_verb_prints_what_its_table_says():
    """All verbs with a table, each in ways that fill its lists."""
    shapes = {name: Shape(name, table) for name, table in tables().items() if name != "Others"}

    def see(name, project, *arguments, status=0, **options):
        done = debstrata(project, "--json", *arguments, check=False, **options)
        expect(done.returncode == status, f"{name}: {done.returncode}\n{done.stderr}")
        printed = json.loads(done.stdout)
        # Where several are found they come as a list.
        several = isinstance(printed, list) and name.split()[0] in ("show", "why")
        for one in printed if several else [printed]:
            shapes[name].check(one)

    with scratch() as folder:
        project = folder / "project"
        shutil.copytree(ROOT / "manifests", project / "manifests")
        (project / "cache").mkdir()
        shutil.copytree(ROOT / "cache/downloads", project / "cache/downloads", copy_function=os.link)
        see("build", project, "build", "--arch", "amd64", "--format", "oci,docker,tar.gz,spdx", "debian13/cc", "debian13/nginx")
        see("bundle", project, "bundle", "--arch", "amd64", "debian13/static", "--output", folder / "bundle.tar")
        for name, arguments in (
            ("audit", ["audit", "--arch", "amd64", "debian13/static"]),
            ("check", ["check", "--arch", "amd64", "debian13/cc"]),
            ("show", ["show", "--arch", "amd64"]),
            ("show", ["show", "--arch", "amd64", "debian13/nginx"]),
            ("show --tree", ["show", "--arch", "amd64", "debian13/cc", "--tree"]),
            ("show --graph", ["show", "--arch", "amd64", "--graph"]),
            ("why", ["why", "--arch", "amd64", "debian13/cc", "libc6"]),
            ("why", ["why", "--arch", "amd64", "cc", "/etc/passwd"]),
            ("fit", ["fit", "--arch", "amd64", "/usr/bin/git", "/bin/sh"]),
            ("diff", ["diff", "--arch", "amd64", "debian12/cc", "debian13/cc"]),
            ("diff", ["diff", "--arch", "amd64", "debian12/static", "debian13/python3"]),
            ("cache size", ["cache", "size"]),
        ):
            see(name, project, *arguments)
        see("diff", project, "diff", "--arch", "amd64", "debian12", "debian13", "--no-files")

        # Another byte in a file, and an image with other layers.
        layer = project / "out/debian13/amd64/cc.tar.gz"
        data = bytearray(gzip.decompress(layer.read_bytes()))
        at = data.index(b"GNU GENERAL PUBLIC") if b"GNU GENERAL PUBLIC" in data else len(data) // 2
        data[at] ^= 1
        (folder / "cc.tar").write_bytes(data)
        see("audit", project, "audit", "--arch", "amd64", "debian13/cc", "--against", folder / "cc.tar", status=1)
        image = project / "out/debian13/amd64/cc-debug.docker.tar"
        see("audit", project, "audit", "--arch", "amd64", "debian13/cc", "--against", image, "--parity")

        # A tier with findings, an upgrade, and what they leave.
        (project / "manifests/own").mkdir()
        debs = project / "manifests/own/debs"
        debs.mkdir()
        for version in ("1", "2"):
            package(folder / "package", version, debs)
            if version == "1":
                (project / "manifests/own/archive.toml").write_text(
                    'architectures = ["amd64"]\n[[sources]]\nfolder = "debs"\n')
                (project / "manifests/own/a.toml").write_text(
                    'packages = ["hello"]\n[globs]\nexclude = ["/none"]\n'
                    '[[files]]\npath = "/all"\ntext = ""\nmode = 0o666\n'
                    '[[accept]]\nlint = "world-writable"\nsubject = "/all"\nreason = "a test"\n')
                see("lock", project, "lock", "own")
        see("check", project, "check", "--arch", "amd64", "own", status=1)
        see("lock", project, "lock", "own", "--upgrade")
        see("cache prune", project, "cache", "prune", "--unreferenced")
        see("cache verify", project, "cache", "verify")

        with registry(folder / "registry") as (address, _):
            for _ in range(2):
                see("push", project, "push", "debian13/cc", f"{address}/team/cc")

    for name, shape in shapes.items():
        expect(not shape.never_seen(), f"{name}: never seen: {shape.never_seen()}")
    say(f"{sum(len(shape.seen) for shape in shapes.values())} keys of {len(shapes)} verbs")


def package(folder, version, debs):
    (folder / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (folder / "DEBIAN/control").write_text(
        f"Package: hello\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: greets\n")
    (folder / "hello").write_text(version)
    run("dpkg-deb", "--root-owner-group", "--build", folder, debs / f"hello_{version}.deb")


if __name__ == "__main__":
    main([every_verb_prints_what_its_table_says])
