#!/usr/bin/env python3
"""Nothing of the host shows in an output: every tier is built again under another umask, time zone,
locale, number of threads, folder, user, clock and cache, and compared byte for byte."""

import os
import pwd
import shutil
import subprocess

from common import BINARY, CORE, ROOT, debstrata, expect, host, main, mirror_of, new_project, outputs, same, scratch

FORMS = ["--format", "tar.gz,tar,tar.zst"]


def reference(folder, tiers=CORE):
    """A plain build for the host, from the downloads of this clone."""
    project = new_project(folder / "reference")
    copy_downloads(project)
    debstrata(project, "build", *tiers, "--locked", *FORMS)
    return project, outputs(project / "out")


def copy_downloads(project):
    """The same .debs, but nothing derived from them."""
    def link(source, target):
        try:
            os.link(source, target)
        except OSError:  # another disk
            shutil.copy2(source, target)

    shutil.copytree(ROOT / "cache/downloads", project / "cache/downloads", copy_function=link, dirs_exist_ok=True)


def rebuilt_in_other_surroundings():
    """Other umask, time zone, locale, threads, folder, clock, warm and cold cache."""
    with scratch() as folder:
        # All tiers, the catalogue's too.
        project, wanted = reference(folder, [])
        cold = [
            ("umask 077", ["sh", "-c", 'umask 077; exec "$@"', "sh"], {}),
            ("umask 0", ["sh", "-c", 'umask 0; exec "$@"', "sh"], {}),
            ("time zone and locale", [], {"TZ": "Asia/Kolkata", "LC_ALL": "tr_TR.UTF-8", "LANG": "C"}),
            ("one thread", [], {"RAYON_NUM_THREADS": "1"}),
            ("seven threads", [], {"RAYON_NUM_THREADS": "7"}),
            ("the clock of 2031", ["faketime", "2031-01-02 03:04:05"], {}),
        ]
        for number, (name, prefix, env) in enumerate(cold):
            other = new_project(folder / f"a rather different folder {number}")
            copy_downloads(other)
            command = [*prefix, str(BINARY), "-C", str(other), "build", "--locked", *FORMS]
            done = subprocess.run(command, env=dict(os.environ, **env), capture_output=True, text=True)
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            same(outputs(other / "out"), wanted, name)
            shutil.rmtree(other)
        for name, prepare in [
            ("warm cache", lambda: shutil.rmtree(project / "out")),
            ("nothing to do", lambda: None),
            ("derived data deleted", lambda: shutil.rmtree(project / "cache/derived")),
            ("an output altered", lambda: (project / f"out/debian13/{host()}/cc.tar.gz").write_bytes(b"other")),
        ]:
            prepare()
            debstrata(project, "build", "--locked", *FORMS)
            same(outputs(project / "out"), wanted, name)


def rebuilt_by_another_user():
    """A user who is not root makes the same bytes."""
    with scratch() as folder:
        _, wanted = reference(folder)
        project = new_project(folder / "theirs")
        binary = shutil.copy(BINARY, folder / "debstrata")
        nobody = pwd.getpwnam("nobody")
        shutil.copytree(ROOT / "cache/downloads", project / "cache/downloads")
        for path in [project, *project.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        done = subprocess.run(
            [binary, "-C", str(project), "build", *CORE, "--locked", *FORMS],
            user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True,
        )
        expect(done.returncode == 0, done.stderr)
        same(outputs(project / "out"), wanted, "another user")


def audit_confirms_and_denies():
    """`audit` says yes to what was built, and no, naming the layer, to what was altered."""
    with scratch() as folder:
        project, _ = reference(folder)
        done = debstrata(project, "audit", *CORE, "--against", project / "out")
        expect(done.stdout.startswith("equal"), done.stdout)
        (project / f"out/debian13/{host()}/base.tar.gz").write_bytes(
            (project / f"out/debian13/{host()}/static.tar.gz").read_bytes()
        )
        done = debstrata(project, "audit", *CORE, "--against", project / "out", check=False)
        expect(done.returncode == 1 and "debian13/base" in done.stdout, done.stdout + done.stderr)


def one_edit_touches_few_members():
    """After an edit of one small file, most of a compressed layer is the same bytes."""
    with scratch() as folder:
        project, wanted = reference(folder)
        manifest = project / "manifests/debian13/base.toml"
        manifest.write_text(manifest.read_text() + '\n[[files]]\npath = "/etc/motd"\ntext = "hello\\n"\n')
        debstrata(project, "build", "debian13/base")
        name = f"debian13/{host()}/base.tar.gz"
        before, after = wanted[name], outputs(project / "out")[name]
        tail = next((at for at in range(1, len(after)) if before[-at] != after[-at]), len(after))
        expect(before != after and tail > len(after) * 0.7, f"only {tail} of {len(after)} bytes are kept")


def pool_served_elsewhere():
    """The mirror does not matter: the .debs come from a server that only has the pool."""
    with scratch() as folder:
        _, wanted = reference(folder)
        project = new_project(folder / "mirrored")
        with mirror_of(ROOT / "cache", project) as options:
            debstrata(project, *options, "build", *CORE, "--locked", *FORMS)
        same(outputs(project / "out"), wanted, "another mirror")


if __name__ == "__main__":
    main([
        rebuilt_in_other_surroundings, rebuilt_by_another_user, audit_confirms_and_denies, one_edit_touches_few_members,
        pool_served_elsewhere,
    ])
