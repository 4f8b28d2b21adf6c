#!/usr/bin/env python3
"""Layers against an independent composition: the .debs as `dpkg-deb --fsys-tarfile` gives them, plus
the paths that the manifests declare, merged by the thirty lines below; and three tar readers."""

import hashlib
import io
import json
import re
import subprocess
import tarfile

from common import (CORE, ROOT, chain, debstrata, distributions, expect, host, load_archive, load_tier, lock_of, main, run,
                    scratch, tiers)

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def plain(name):
    return re.sub(r"^(\./|/)+", "", name).rstrip("/") if name not in (".", "./", "/") else ""


def entry_of(archive, member):
    kinds = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "directory", tarfile.SYMTYPE: "link", tarfile.LNKTYPE: "file"}
    entry = {"type": kinds[member.type], "mode": member.mode, "uid": member.uid, "gid": member.gid}
    if member.issym():
        entry.update(link=member.linkname, mode=0o777)
    elif member.isreg() or member.islnk():
        entry["sha256"] = hashlib.sha256(archive.extractfile(member).read()).hexdigest()
    return entry


def read_tree(stream):
    with tarfile.open(fileobj=stream, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        return {plain(member.name): entry_of(archive, member) for member in archive}


def deb_tree(cache, package):
    deb = cache / "downloads" / package["sha256"][:2] / package["sha256"]
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True).stdout
    return read_tree(io.BytesIO(data))


def deb_control(cache, package):
    deb = cache / "downloads" / package["sha256"][:2] / package["sha256"]
    data = subprocess.run(["dpkg-deb", "--ctrl-tarfile", str(deb)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {plain(member.name): archive.extractfile(member).read() for member in archive if member.isreg()}


def put_file(tree, path, data, mode=0o644, uid=0, gid=0):
    tree[path] = {"type": "file", "mode": mode, "uid": uid, "gid": gid, "sha256": hashlib.sha256(data).hexdigest()}


def ca_bundle(cache, package):
    """Every file below usr/share/ca-certificates, each folder in byte order, each line ended."""
    deb = cache / "downloads" / package["sha256"][:2] / package["sha256"]
    data = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(deb)], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as archive:
        files = [
            (plain(member.name).encode("utf-8", "surrogateescape").split(b"/"), archive.extractfile(member).read())
            for member in archive
            if member.isreg() and plain(member.name).startswith("usr/share/ca-certificates/")
        ]
    return b"".join(line + b"\n" for _, text in sorted(files) for line in text.removesuffix(b"\n").split(b"\n"))


def compose(project, cache, distribution, architecture, tier):
    """The tree of a tier, from its chain's .debs and manifests."""
    inputs = lock_of(project, distribution)["inputs"][architecture]
    packages = {package["name"]: package for package in inputs["packages"]}
    merged = load_archive(project, distribution).get("merged-usr", False)
    tree, users, groups = {"": {"type": "directory", "mode": 0o755, "uid": 0, "gid": 0}}, [], []
    for name in chain(project, distribution, tier):
        manifest = load_tier(project, distribution, name)
        rules = manifest.get("globs", {}).get("package", {})
        assert not manifest.get("globs", {}).get("include") and not manifest.get("globs", {}).get("exclude")
        for wanted in inputs["tiers"][name]["packages"]:
            found = deb_tree(cache, packages[wanted])
            if wanted in rules:
                kept = rules[wanted]["include"]
                assert all("*" not in glob for glob in kept) and not rules[wanted].get("exclude")
                folders = {glob[:at.start()].lstrip("/") for glob in kept for at in re.finditer("/", glob)}
                found = {path: entry for path, entry in found.items() if "/" + path in kept or path in folders}
            for path, entry in found.items():
                top, _, rest = path.partition("/")
                if merged and top in MERGED and rest:
                    path = "usr/" + path
                elif merged and top in MERGED and entry["type"] == "directory":
                    continue
                if entry["type"] == "directory" and path in tree:
                    continue
                tree[path] = entry
            if manifest.get("generate", {}).get("dpkg-status", True):
                control = deb_control(cache, packages[wanted])
                for folder in ("var/lib/dpkg", "var/lib/dpkg/status.d"):
                    tree.setdefault(folder, {"type": "directory", "mode": 0o755, "uid": 0, "gid": 0})
                put_file(tree, f"var/lib/dpkg/status.d/{wanted}", control["control"])
                if "md5sums" in control:
                    put_file(tree, f"var/lib/dpkg/status.d/{wanted}.md5sums", control["md5sums"])
        users += manifest.get("users", [])
        groups += manifest.get("groups", [])
        declared = {}
        for user in manifest.get("users", []):
            if home := user.get("home"):
                if home != "/nonexistent":
                    declared[home] = (user.get("home-mode", 0o700), user["uid"], user["gid"])
        for directory in manifest.get("directories", []):
            declared[directory["path"]] = (directory.get("mode", 0o755), directory.get("owner", 0), directory.get("group", 0))
        for path, (mode, uid, gid) in declared.items():
            tree[plain(path)] = {"type": "directory", "mode": mode, "uid": uid, "gid": gid}
        for link in manifest.get("symlinks", []):
            tree[plain(link["path"])] = {"type": "link", "mode": 0o777, "uid": 0, "gid": 0, "link": link["target"]}
        for file in manifest.get("files", []):
            put_file(tree, plain(file["path"]), file["text"].encode(), file.get("mode", 0o644))
        generate = manifest.get("generate", {})
        if generate.get("ca-certificates"):
            put_file(tree, "etc/ssl/certs/ca-certificates.crt", ca_bundle(cache, packages["ca-certificates"]))
        if fields := generate.get("os-release"):
            text = "".join(f'{key}="{value}"\n' for key, value in fields.items())
            put_file(tree, "usr/lib/os-release", text.encode())
        if manifest.get("users"):
            lines = [
                f"{user['name']}:x:{user['uid']}:{user['gid']}:{user.get('gecos', user['name'])}"
                f":{user.get('home', '/nonexistent')}:{user.get('shell', '/sbin/nologin')}\n"
                for user in users
            ]
            put_file(tree, "etc/passwd", "".join(lines).encode())
        if manifest.get("groups"):
            lines = [f"{group['name']}:x:{group['gid']}:{','.join(group.get('members', []))}\n" for group in groups]
            put_file(tree, "etc/group", "".join(lines).encode())
    for path in list(tree):
        while path:
            path = path.rpartition("/")[0]
            tree.setdefault(path, {"type": "directory", "mode": 0o755, "uid": 0, "gid": 0})
    return tree


def layers(project, distribution, architecture, tier):
    folder = project / "out" / distribution / architecture
    return [folder / f"{name}.tar.gz" for name in chain(project, distribution, tier)]


def every_tree_equals_dpkgs():
    """The merged tree of every core tier and architecture equals what dpkg-deb says."""
    compared = 0
    for distribution in distributions(ROOT):
        for architecture in load_archive(ROOT, distribution)["architectures"]:
            for tier in tiers(ROOT, distribution):
                if f"{distribution}/{tier}" not in CORE:  # the catalogue has generated files
                    continue
                wanted = compose(ROOT, ROOT / "cache", distribution, architecture, tier)
                found = {}
                for layer in layers(ROOT, distribution, architecture, tier):
                    tar = subprocess.run(["gzip", "-dc", str(layer)], check=True, capture_output=True).stdout
                    found.update(read_tree(io.BytesIO(tar)))
                name = f"{distribution}/{tier} {architecture}"
                differ = [path for path in sorted(set(found) | set(wanted)) if found.get(path) != wanted.get(path)]
                shown = "\n".join(f"  /{path}: {found.get(path)} instead of {wanted.get(path)}" for path in differ[:10])
                expect(not differ, f"{name}: {len(differ)} paths differ\n{shown}")
                compared += 1
    print(f"e2e: {compared} trees are equal")


def a_layer_holds_only_what_differs():
    """No layer repeats an entry of its parents, but for the folders above new ones."""
    for distribution in distributions(ROOT):
        for tier in tiers(ROOT, distribution):
            below = {}
            for layer in layers(ROOT, distribution, host(), tier):
                tar = subprocess.run(["gzip", "-dc", str(layer)], check=True, capture_output=True).stdout
                found = read_tree(io.BytesIO(tar))
                above = {path.rpartition("/")[0] for path in found if path} | {""}
                above |= {folder[:at.start()] for folder in set(above) for at in re.finditer("/", folder)}
                again = [path for path in found if below.get(path) == found[path] and path not in above]
                expect(not again, f"{layer.name}: repeated without need: {again[:5]}")
                below.update(found)


def readers_agree():
    """GNU tar, bsdtar and Python read the same names, types and sizes."""
    for layer in sorted((ROOT / "out").rglob("*.tar.gz")):
        run("gzip", "-t", layer)
        gnu = run("tar", "-tzf", layer, "--quoting-style=literal", env={"LC_ALL": "C.UTF-8"}).stdout.splitlines()
        for locale in ("C", "C.UTF-8"):
            bsd = run("bsdtar", "-tf", layer, env={"LC_ALL": locale}).stdout.splitlines()
            expect(len(bsd) == len(gnu), f"{layer}: bsdtar ({locale}) reads {len(bsd)} entries, GNU tar {len(gnu)}")
        expect(bsd == gnu, f"{layer}: bsdtar and GNU tar differ")
        with tarfile.open(layer) as archive:
            members = archive.getmembers()
            names = [member.name + ("/" if member.isdir() and member.name != "." else "") for member in members]
            expect([plain(name) for name in names] == [plain(name) for name in gnu], f"{layer}: Python differs")
            expect({member.mtime for member in members} == {0}, f"{layer}: times differ")
            expect(not any(member.uname or member.gname for member in members), f"{layer}: it names owners")


def bundle_has_the_known_hash():
    """The CA bundle of ca-certificates 20250419 is the one that is known."""
    known = "e9c7b63ee2623386e9b0a3ee32f499d01a8ea23dc83b8383ddff9f8e749543b7"
    for distribution in distributions(ROOT):
        packages = {package["name"]: package for package in lock_of(ROOT, distribution)["inputs"]["amd64"]["packages"]}
        package = packages["ca-certificates"]
        bundle = ca_bundle(ROOT / "cache", package)
        if package["version"].startswith("20250419"):
            expect(hashlib.sha256(bundle).hexdigest() == known, f"{distribution}: the rule gives another bundle")
        tree = read_tree(io.BytesIO(subprocess.run(
            ["gzip", "-dc", str(ROOT / "out" / distribution / "amd64/static.tar.gz")], check=True, capture_output=True
        ).stdout))
        found = tree["etc/ssl/certs/ca-certificates.crt"]["sha256"]
        expect(found == hashlib.sha256(bundle).hexdigest(), f"{distribution}: the bundle differs")


def show_and_sums():
    """SHA256SUMS holds, and `show --json` names the packages of the lock."""
    run("sha256sum", "--quiet", "-c", "SHA256SUMS", cwd=ROOT / "out")
    shown = json.loads(debstrata(ROOT, "show", "debian13/cc", "--arch", "amd64", "--json").stdout)
    inputs = lock_of(ROOT, "debian13")["inputs"]["amd64"]
    wanted = [name for tier in chain(ROOT, "debian13", "cc") for name in inputs["tiers"][tier]["packages"]]
    expect([package["name"] for package in shown["packages"]] == wanted, "show names other packages than the lock")
    for layer in shown["layers"]:
        tar = subprocess.run(
            ["gzip", "-dc", str(ROOT / f"out/debian13/amd64/{layer['tier']}.tar.gz")], check=True, capture_output=True
        ).stdout
        expect(layer["diff_id"] == "sha256:" + hashlib.sha256(tar).hexdigest(), f"diff_id of {layer['tier']}")
        expect(layer["size"] == len(tar), f"size of {layer['tier']}")


if __name__ == "__main__":
    main([every_tree_equals_dpkgs, a_layer_holds_only_what_differs, readers_agree, bundle_has_the_known_hash, show_and_sums])
