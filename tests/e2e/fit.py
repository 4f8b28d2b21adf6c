#!/usr/bin/env python3
"""Starts real programs of Debian packages in a chroot of every tier, and compares with what `fit` says.
Needs root, an amd64 machine, the host's Debian mirrors, and the layers that `debstrata build` wrote to out/."""

import json
import multiprocessing
import os
import pathlib
import shutil
import subprocess
import sys

from common import ROOT, Wrong, chain, debstrata, distributions, expect, main, run, say, scratch, tiers

# Package: its programs. What both distributions have, then what one has alone.
BOTH = {
    "aria2": ["usr/bin/aria2c"], "bash": ["bin/bash"], "bash-static": ["bin/bash-static"], "bc": ["usr/bin/bc"],
    "busybox-static": ["bin/busybox"], "catatonit": ["usr/bin/catatonit"], "coreutils": ["bin/ls", "usr/bin/env"],
    "curl": ["usr/bin/curl"], "dash": ["bin/dash"], "diffutils": ["usr/bin/cmp"], "dnsmasq-base": ["usr/sbin/dnsmasq"],
    "fd-find": ["usr/lib/cargo/bin/fd"], "file": ["usr/bin/file"], "fzf": ["usr/bin/fzf"], "gawk": ["usr/bin/gawk"],
    "git": ["usr/bin/git"], "gpg": ["usr/bin/gpg"], "gpgv": ["usr/bin/gpgv"], "grep": ["bin/grep"],
    "haproxy": ["usr/sbin/haproxy"], "htop": ["usr/bin/htop"], "iproute2": ["bin/ip"], "jq": ["usr/bin/jq"],
    # Each C library is a program too: here of two 32-bit kinds, and of 64 bits.
    "libc6": ["lib/x86_64-linux-gnu/libc.so.6"], "libc6-i386": ["lib32/libc.so.6"], "libc6-x32": ["libx32/libc.so.6"],
    "less": ["usr/bin/less"], "lua5.4": ["usr/bin/lua5.4"], "make": ["usr/bin/make"], "mawk": ["usr/bin/mawk"],
    "memcached": ["usr/bin/memcached"], "mount": ["bin/mount"], "mtr-tiny": ["usr/bin/mtr"],
    "ninja-build": ["usr/bin/ninja"], "openssh-client": ["usr/bin/ssh", "usr/bin/ssh-keygen"],
    "openssl": ["usr/bin/openssl"], "passwd": ["usr/bin/passwd", "usr/bin/chage"], "patch": ["usr/bin/patch"],
    "perl-base": ["usr/bin/perl"], "procps": ["bin/ps"], "protobuf-compiler": ["usr/bin/protoc"],
    "redis-tools": ["usr/bin/redis-cli"], "ripgrep": ["usr/bin/rg"], "rsync": ["usr/bin/rsync"],
    "sed": ["bin/sed"], "sqlite3": ["usr/bin/sqlite3"], "strace": ["usr/bin/strace"],
    "sudo": ["usr/bin/sudo"], "tar": ["bin/tar"], "tcl8.6": ["usr/bin/tclsh8.6"], "tini": ["usr/bin/tini"],
    "tmux": ["usr/bin/tmux"], "tree": ["usr/bin/tree"], "unzip": ["usr/bin/unzip"], "vim-tiny": ["usr/bin/vim.tiny"],
    "wget": ["usr/bin/wget"], "xz-utils": ["usr/bin/xz"], "zsh-static": ["bin/zsh-static"], "zstd": ["usr/bin/zstd"],
}
ALONE = {
    "debian12": {"postgresql-client-15": ["usr/lib/postgresql/15/bin/psql"], "python3.11-minimal": ["usr/bin/python3.11"],
                 "nginx": ["usr/sbin/nginx"], "socat": ["usr/bin/socat"], "exa": ["usr/bin/exa"]},
    "debian13": {"postgresql-client-17": ["usr/lib/postgresql/17/bin/psql"], "python3.13-minimal": ["usr/bin/python3.13"],
                 "nginx": ["usr/sbin/nginx"], "socat": ["usr/bin/socat1"], "eza": ["usr/bin/eza"]},
}
# Out of the tiers, at their own place: programs that find libraries beside themselves.
OWN = ["usr/lib/jvm/java-17-openjdk-amd64/bin/java", "usr/lib/jvm/java-21-openjdk-amd64/bin/java",
       "usr/lib/jvm/java-25-openjdk-amd64/bin/java", "usr/bin/node", "usr/bin/python3.13", "usr/bin/python3.11"]

SCRIPTS = {
    "sh": "#!/bin/sh\nexit 0\n", "bash": "#!/bin/bash\nexit 0\n", "dos": "#!/bin/sh\r\nexit 0\r\n",
    "perl": "#!/usr/bin/perl -w\nexit 0;\n", "python": "#!/usr/bin/python3\npass\n",
    "env-python": "#!/usr/bin/env python3\npass\n", "env-words": "#!/usr/bin/env python3 -u\npass\n",
    "env-split": "#!/usr/bin/env -S python3 -u\npass\n", "relative": "#!sh\nexit 0\n",
    "busybox": "#!/busybox/sh\nexit 0\n",
}

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LD_BIND_NOW": "1", "HOME": "/"}

# What the loader says where it does not start a program.
LOADER = ["error while loading shared", "symbol lookup error", "' not found (required by"]

# What `fit` may get wrong, with the reason: a program that starts though `fit` says that it does not.
EXPLAINED = {}


def probes(folder):
    """Programs of both distributions, as [name, file, folder in the tier]."""
    project = folder / "project"
    shutil.copytree(ROOT / "manifests", project / "manifests")
    for distribution in distributions(project):
        place = project / "manifests" / distribution
        for path in place.iterdir():
            if path.name not in ("archive.toml", "keyrings"):
                path.unlink()
        archive = place / "archive.toml"
        lines = ['architectures = ["amd64"]' if line.startswith("architectures") else line
                 for line in archive.read_text().splitlines()]
        archive.write_text("\n".join(lines) + "\n")
        wanted = BOTH | ALONE[distribution]
        globs = [f"{folder}/{path}" for paths in wanted.values() for path in paths for folder in ("", "/usr")]
        (place / "probes.toml").write_text(
            f'summary = "Programs to start"\npackages = {json.dumps(sorted(wanted))}\ndependencies = "none"\n'
            f"[globs]\ninclude = {json.dumps(globs)}\n"
            "[generate]\nalternatives = false\nsysusers = false\ntmpfiles = false\nscripts = false\n"
        )
    debstrata(project, "--cache", CACHE, "build", "--arch", "amd64", "--output", folder / "out")
    found = []
    for distribution in distributions(project):
        root = folder / f"{distribution}-probes"
        root.mkdir()
        layer = folder / "out" / distribution / "amd64/probes.tar.gz"
        run("tar", "--extract", "--gzip", "--same-permissions", "--directory", root, "--file", layer)
        lacking = [f"{package} {path}" for package, paths in (BOTH | ALONE[distribution]).items() for path in paths
                   if not (root / path).is_file() and not (root / "usr" / path).is_file()]
        expect(not lacking, f"{distribution}: no such programs: {lacking}")
        for package, paths in (BOTH | ALONE[distribution]).items():
            for path in paths:
                file = root / path if (root / path).is_file() else root / "usr" / path
                # What a program is called comes first: BusyBox looks at it.
                found.append([f"{file.name}-{package}-{distribution}", file, "/fit-probe"])
    for name, text in SCRIPTS.items():
        file = folder / f"{name}.script"
        file.write_text(text)
        file.chmod(0o755)
        found.append([name, file, "/fit-probe"])
    return found


def roots(folder):
    """Every tier's merged tree, with /proc, since the loader asks it for $ORIGIN."""
    trees = {}
    for distribution in distributions(ROOT):
        for tier in tiers(ROOT, distribution):
            root = folder / f"root-{distribution}-{tier}"
            root.mkdir()
            for name in chain(ROOT, distribution, tier):
                layer = ROOT / "out" / distribution / "amd64" / f"{name}.tar.gz"
                expect(layer.exists(), f"{layer} is not there: run `debstrata build` first")
                run("tar", "--extract", "--gzip", "--same-permissions", "--directory", root, "--file", layer)
            (root / "proc").mkdir(exist_ok=True)
            run("mount", "-t", "proc", "proc", root / "proc")
            trees[f"{distribution}/{tier}"] = root
    return trees


def starts(root, name, file, place):
    """Whether the kernel and the loader start a program in a tree; and what they say where not."""
    target = root / place.strip("/") / name
    made = []
    for above in reversed(target.relative_to(root).parents):
        if not (root / above).exists():
            (root / above).mkdir()
            made.append(root / above)
    there = target.exists()
    try:
        if not there:
            os.link(file, target)
        harmless = "--help" if name.startswith("busybox") else "--version"
        done = subprocess.run(
            [f"{place}/{name}", harmless], env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=60, preexec_fn=lambda: os.chroot(root), cwd="/", start_new_session=True,
        )
        said = (done.stdout + done.stderr).decode(errors="replace")
        # The loader and env end with 127 where something is missing; the loader with 1 where a version is.
        wrong = done.returncode == 127 or any(text in said for text in LOADER)
        return not wrong, said.strip()[:200]
    except OSError as error:
        return False, str(error)
    finally:
        if not there:
            target.unlink(missing_ok=True)
        for above in reversed(made):
            above.rmdir()


def all_start(work):
    root, found = work
    return {file: starts(root, name, file, place) for name, file, place in found}


def verdicts_are_true():
    """What `fit` says of real programs in every tier is what happens when they are started there."""
    with scratch() as folder:
        found = probes(folder)
        trees = roots(folder)
        try:
            for path in OWN:
                for tier, root in trees.items():
                    if (root / path).is_file():
                        copy = folder / f"own-{tier.replace('/', '-')}-{pathlib.Path(path).name}"
                        shutil.copy2(root / path, copy)
                        found.append([pathlib.Path(path).name, copy, "/" + str(pathlib.Path(path).parent)])
                        break
            compare(folder, found, trees)
        finally:
            for root in trees.values():
                run("umount", root / "proc")


def compare(folder, found, trees):
    by_place = {}
    for probe in found:
        by_place.setdefault(probe[2], []).append(probe)
    said = {}
    beside = folder / "named"
    for number, (place, group) in enumerate(by_place.items()):
        names = beside / str(number)
        names.mkdir(parents=True)
        for name, file, _ in group:
            os.link(file, names / name)
        answer = debstrata(ROOT, "--cache", CACHE, "--offline", "--json", "fit", "--arch", "amd64", "--at", place,
                           *[names / name for name, _, _ in group], check=False)
        expect(answer.returncode in (0, 1), f"fit ended with {answer.returncode}\n{answer.stderr}")
        for (name, file, _), fit in zip(group, json.loads(answer.stdout), strict=True):
            said[str(file)] = fit["tiers"]
    with multiprocessing.get_context("fork").Pool() as pool:
        started = dict(zip(trees, pool.map(all_start, [(root, found) for root in trees.values()], chunksize=1)))
    wrong, careful, compared, fitting = [], [], 0, 0
    for name, file, _ in found:
        tiers_of = said[str(file)]
        expect(set(tiers_of) == set(trees), f"{name}: judged {sorted(tiers_of)}")
        for tier, verdict in tiers_of.items():
            expect(verdict["fits"] == (not verdict["missing"]), f"{name} in {tier}: {verdict}")
            true, words = started[tier][file]
            compared += 1
            fitting += true
            if verdict["fits"] and not true:
                wrong.append(f"{name} in {tier}: said to fit: {words}")
            if true and not verdict["fits"]:
                careful.append((name, f"{name} in {tier}: {verdict['missing']}"))
    programs = len(found)
    expect(programs >= 60, f"only {programs} programs")
    expect(not wrong, f"{len(wrong)} of {compared} wrongly said to fit:\n" + "\n".join(wrong[:20]))
    unexplained = [text for name, text in careful if name not in EXPLAINED]
    names = {name for name, _ in careful}
    expect(not unexplained, "wrongly said not to fit:\n" + "\n".join(unexplained[:20]))
    expect(len(names) * 60 <= programs, f"too many said not to fit: {sorted(names)}")
    say(f"{programs} programs in {len(trees)} tiers: {compared} verdicts, {fitting} fit; "
        f"none wrongly said to fit, {len(careful)} wrongly said not to")


CACHE = pathlib.Path(os.environ.get("DEBSTRATA_E2E_CACHE", ROOT / "cache"))

if __name__ == "__main__":
    if os.geteuid() != 0:
        raise SystemExit("chroot needs root")
    if run("dpkg", "--print-architecture").stdout.strip() != "amd64":
        raise SystemExit("the programs are those of amd64")
    # What is mounted goes with the process, whatever happens.
    if "inside" not in sys.argv[1:2]:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, __file__, "inside",
                              *sys.argv[1:]])
    del sys.argv[1]
    main([verdicts_are_true])
