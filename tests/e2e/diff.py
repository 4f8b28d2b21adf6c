#!/usr/bin/env python3
"""Compares the layers of debian12/cc and debian13/cc by Python's own means, and what `diff` says of the tiers, the
layers' images and revisions. Needs git, and the layers that `debstrata build` wrote to out/."""

import hashlib
import json
import pathlib
import re
import shutil
import tarfile

from common import ROOT, chain, debstrata, expect, main, run, say, scratch

ARCH = "amd64"
PAIR = ("debian12", "debian13")


def tree(distribution, tier):
    """Path to (type, mode, owner, digest or target) of all layers, one over the other."""
    found, sizes, packages = {}, {}, {}
    for one in chain(ROOT, distribution, tier):
        with tarfile.open(ROOT / f"out/{distribution}/{ARCH}/{one}.tar.gz") as tar:
            contents = {}
            for member in tar:
                path = "/" + member.name.removeprefix("./").strip("/").removeprefix(".")
                owner = f"{member.uid}:{member.gid}"
                if member.isdir():
                    found[path] = ("directory", f"{member.mode & 0o7777:04o}", owner, None)
                elif member.issym():
                    found[path] = ("symlink", "0777", owner, member.linkname)
                else:
                    if member.islnk():
                        content = contents[member.linkname]
                    else:
                        content = tar.extractfile(member).read()
                        contents[member.name] = content
                        sizes[path] = len(content)
                    digest = hashlib.sha256(content).hexdigest()
                    found[path] = ("file", f"{member.mode & 0o7777:04o}", owner, digest)
                    parts = pathlib.PurePath(path)
                    if str(parts.parent) == "/var/lib/dpkg/status.d" and parts.suffix != ".md5sums":
                        fields = dict(line.split(": ", 1) for line in content.decode().splitlines()
                                      if re.match(r"(Package|Version): ", line))
                        packages[fields["Package"]] = fields["Version"]
    return found, sum(sizes.values()), packages


def compare(before, after):
    return (sorted(after.keys() - before.keys()), sorted(before.keys() - after.keys()),
            sorted(key for key in before.keys() & after.keys() if before[key] != after[key]))


def lists(found, part, name):
    return tuple(sorted(row[name] for row in found[part][which]) for which in ("added", "removed", "changed"))


def diff(project, *arguments):
    return json.loads(debstrata(project, "diff", "--json", "--offline", "--arch", ARCH, *arguments).stdout)


def layers_differ_as_python_reads_them():
    """Two tiers, and Python's reading of their layers."""
    (old, old_size, old_packages), (new, new_size, new_packages) = (tree(one, "cc") for one in PAIR)
    files, packages = compare(old, new), compare(old_packages, new_packages)
    expect(all(files) and all(packages), "the distributions differ in every way")
    found = diff(ROOT, "debian12/cc", "debian13/cc")
    expect(lists(found, "files", "path") == files, "the files that differ")
    expect(lists(found, "packages", "name") == packages, "the packages that differ")
    expect(found["size"] == {"before": old_size, "after": new_size, "of": "files"}, f"{found['size']}")
    for row in found["files"]["changed"]:
        was, now = old[row["path"]], new[row["path"]]
        fields = [field for field, at in (("type", 0), ("mode", 1), ("owner", 2)) if was[at] != now[at]
                  and not (field == "mode" and "symlink" in (was[0], now[0]))]
        if was[0] == now[0] and was[3] != now[3]:
            fields.append("content" if was[0] == "file" else "link")
        expect(row["fields"] == fields, f"{row}: {fields}")
    for row in found["packages"]["changed"]:
        versions = old_packages[row["name"]], new_packages[row["name"]]
        expect((row["before"]["version"], row["after"]["version"]) == versions, f"{row}")
    back = diff(ROOT, "debian13/cc", "debian12/cc")
    expect(lists(back, "files", "path") == (files[1], files[0], files[2]), "the other way round")
    expect(diff(ROOT, "debian12/cc", "debian12/cc")["equal"], "a tier and itself")
    names = {cve for changelog in found["changelogs"] for cve in changelog["cves"]}
    expect("CVE-2023-4039" in names, f"libstdc++6's changelog has CVE-2023-4039: {names}")
    say(f"{sum(map(len, files))} files, {sum(map(len, packages))} packages, {len(names)} CVEs")


def revisions_are_what_git_has():
    """Commits of a project, and the project as it is."""
    with scratch() as folder:
        shutil.copytree(ROOT / "manifests", folder / "manifests")
        (folder / "cache").symlink_to(ROOT / "cache")
        git = lambda *arguments: run("git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments)
        git("init", "-q")
        git("add", "manifests")
        git("commit", "-qm", "one")
        tier = folder / "manifests/debian13/cc.toml"
        tier.write_text(tier.read_text() + "\n[[symlinks]]\npath = \"/usr/share/here\"\ntarget = \"doc\"\n")
        found = diff(folder, "HEAD")
        changed = [row["tier"] for row in found["tiers"] if not row["equal"]]
        expect("debian13/cc" in changed and not any(name.startswith("debian12") for name in changed), f"{changed}")
        expect([row["path"] for row in found["files"]["added"]] == ["/usr/share/here"], f"{found['files']}")
        one = diff(folder, "HEAD:debian13/cc", "debian13/cc")
        expect([row["path"] for row in one["files"]["added"]] == ["/usr/share/here"], f"{one['files']}")
        git("commit", "-qam", "two")
        expect(diff(folder, "HEAD")["equal"], "a clean tree is its last commit")
        expect(not diff(folder, "HEAD~1")["equal"], "and not the one before")
        expect([row["path"] for row in diff(folder, "HEAD~1", "HEAD")["files"]["added"]] == ["/usr/share/here"], "two")
        for wrong in ("HEAD~7", "--output=x", "no-such"):
            done = debstrata(folder, "diff", "--arch", ARCH, "--", wrong, check=False)
            expect(done.returncode == 2 and "revision" in done.stderr, done.stderr)


if __name__ == "__main__":
    main([layers_differ_as_python_reads_them, revisions_are_what_git_has])
