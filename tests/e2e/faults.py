#!/usr/bin/env python3
"""Kills, full disks, unwritable folders and company in the cache: the outputs are whole and equal, or
there is a clear error and nothing half-written."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import subprocess
import time

from common import (BINARY, CORE, ROOT, Wrong, debstrata, distributions, expect, main, mirror_of, new_project, outputs, run, same,
                    scratch)


def wanted_outputs(folder):
    project = new_project(folder / "wanted")
    with mirror_of(ROOT / "cache", project) as options:
        started = time.monotonic()
        debstrata(project, *options, "build", *CORE, "--locked")
        return outputs(project / "out"), time.monotonic() - started


def killed_at_any_moment():
    """SIGKILL at 50 random moments of a cold build; then a build that succeeds with equal bytes."""
    with scratch() as folder:
        wanted, seconds = wanted_outputs(folder)
        # The quicker of two: a slow first one would put most kills behind the end.
        seconds = min(seconds, wanted_outputs(folder / "again")[1])
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        print(f"e2e: a cold build takes {seconds:.2f} s; seed {seed}")
        killed = 0
        for _ in range(50):
            project = new_project(folder / "killed")
            with mirror_of(ROOT / "cache", project) as options:
                command = [str(BINARY), "-C", str(project), "--quiet", *options, "build", *CORE, "--locked"]
                process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(dice.uniform(0, seconds))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    killed += 1
                process.communicate()
                for name, data in outputs(project / "out").items():
                    temporary = os.path.basename(name).startswith(".debstrata-")
                    expect(temporary or name == "SHA256SUMS" or data == wanted[name], f"{name} is half-written")
                debstrata(project, *options, "build", *CORE, "--locked")
            found = {name: data for name, data in outputs(project / "out").items() if ".debstrata-" not in name}
            same(found, wanted, "after a kill")
            shutil.rmtree(project)
        expect(killed >= 25, f"only {killed} of 50 builds were killed in time")


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def disk_full():
    """A full disk, below the outputs or below the cache, is a clear error; then all goes well."""
    with scratch() as folder:
        wanted, _ = wanted_outputs(folder)
        project = new_project(folder / "project")
        with mirror_of(ROOT / "cache", project) as options:
            for what in ("out", "cache"):
                for size in ("1m", "6m", "12m"):
                    with small_disk(folder / "small", size) as small:
                        where = ["--cache", small] if what == "cache" else ["--cache", folder / "cache"]
                        out = small if what == "out" else folder / "out"
                        done = debstrata(project, *where, *options, "build", *CORE, "--locked", "--output", out, check=False)
                        expect(done.returncode == 3, f"{what} {size}: exit status {done.returncode}\n{done.stderr}")
                        expect("No space left" in done.stderr and "free some space" in done.stderr, done.stderr)
                        for name, data in outputs(out).items():
                            expect(name == "SHA256SUMS" or data == wanted[name], f"{what} {size}: {name} is half-written")
                        shutil.rmtree(folder / "out", ignore_errors=True)
            debstrata(project, "--cache", folder / "cache", *options, "build", *CORE, "--locked", "--output", folder / "out")
        same(outputs(folder / "out"), wanted, "after the disk was full")


def unwritable():
    """A folder that may not be written is a clear error that names it."""
    with scratch() as folder:
        nobody = pwd.getpwnam("nobody")
        project = new_project(folder / "project")
        shutil.copytree(ROOT / "cache/downloads", project / "cache/downloads")
        binary = shutil.copy(BINARY, folder / "debstrata")
        for path in [project / "cache", *(project / "cache").rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        (project / "out").mkdir(mode=0o755)
        for options, named in [([], project / "out"), (["--cache", "/proc/debstrata"], "/proc/debstrata")]:
            done = subprocess.run(
                [binary, "-C", str(project), *options, "build", *CORE, "--locked"],
                user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True, text=True,
            )
            text = "".join(done.stderr.split())
            expect(done.returncode == 3 and str(named) in text, f"exit status {done.returncode}\n{done.stderr}")
        expect(not outputs(project / "out"), "something was written")


def two_at_once():
    """Two processes building into one cold cache both succeed with equal bytes."""
    with scratch() as folder:
        wanted, _ = wanted_outputs(folder)
        project = new_project(folder / "project")
        with mirror_of(ROOT / "cache", project) as options:
            for _ in range(5):
                commands = [
                    [BINARY, "-C", project, "--quiet", *options, "build", *CORE, "--locked", "--output", folder / name]
                    for name in ("one", "two")
                ]
                processes = [
                    subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                    for command in commands
                ]
                for process in processes:
                    _, errors = process.communicate()
                    expect(process.returncode == 0, errors)
                for name in ("one", "two"):
                    same(outputs(folder / name), wanted, name)
                    shutil.rmtree(folder / name)
                shutil.rmtree(project / "cache")


if __name__ == "__main__":
    main([killed_at_any_moment, disk_full, unwritable, two_at_once])
