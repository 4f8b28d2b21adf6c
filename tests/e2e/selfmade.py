#!/usr/bin/env python3
"""The image of debstrata that debstrata makes of itself: built as a release builds it, pushed, pulled and run
by podman; and what is in it builds the same bytes. Needs root, podman, runc, docker-registry and dpkg-deb.

The variable DEBSTRATA_PROGRAM names the program that goes into the image, in place of target/release's."""

import functools
import json
import os
import pathlib
import shutil

from common import BINARY, ROOT, debstrata, expect, host, lock_of, main, new_project, outputs, run, same, say
from layouts import PLATFORMS, started, work

PROGRAM = pathlib.Path(os.environ.get("DEBSTRATA_PROGRAM", BINARY))
IMAGES = ["debstrata", "debstrata-debug", "debstrata-debug-nonroot", "debstrata-nonroot"]
FORMATS = "oci,spdx,provenance"


def pack(program, architecture, folder, *depends):
    """packaging/deb.sh; the program is too large for a good compression here."""
    run(ROOT / "packaging/deb.sh", program, architecture, folder, *depends, env={"DPKG_DEB_COMPRESSOR_TYPE": "none"})


def version():
    return run(PROGRAM, "--version").stdout


@functools.cache
def built():
    """A copy of the project of packaging/, with packages for two architectures, built."""
    top = work() / "top"
    new_project(top, ["debian13"])
    unwanted = shutil.ignore_patterns("cache", "debs", "out", "debstrata.lock")
    shutil.copytree(ROOT / "packaging", top / "packaging", symlinks=True, ignore=unwanted)
    project = top / "packaging"
    # The tiers of packaging/ begin with the versions that the shipped ones have.
    shutil.copy(top / "manifests/debian13/debstrata.lock", project / "manifests/debian13")
    dynamic = "INTERP" in run("readelf", "--program-headers", "--wide", PROGRAM).stdout
    stand_in = work() / "stand-in"
    stand_in.write_text("a program of another architecture\n")
    for architecture in ("amd64", "arm64"):
        depends = ["libc6, libgcc-s1"] if architecture == host() and dynamic else []
        pack(PROGRAM if architecture == host() else stand_in, architecture, project / "debs", *depends)
    debstrata(project, "--cache", ROOT / "cache", "build", "debian13/debstrata", "--arch", "all", "--format", FORMATS)
    return project


def deb_is_reproducible():
    """The same program gives the same package, which belongs to root whoever packs it."""
    packed = []
    for name in ("one", "two"):
        os.umask(0o077 if name == "two" else 0o022)
        pack(BINARY.parent.parent.parent / "LICENSE", "amd64", work() / name)
        os.umask(0o022)
        packed.append(outputs(work() / name))
    same(packed[1], packed[0], "packed twice")
    [deb] = (work() / "one").iterdir()
    for line in run("dpkg-deb", "--contents", deb).stdout.splitlines():
        expect(line.split()[1] == "root/root" and "1970-01-01" in line, f"{deb.name}: {line}")
    expect(run("dpkg-deb", "--field", deb, "Version").stdout.strip() == version().split()[1], "the package's version")


def layers_are_the_shipped_ones():
    """Below debstrata lies `static` as it is shipped, and the program fits what is there."""
    project = built()
    ours, shipped = (lock_of(each, "debian13")["outputs"] for each in (project, project.parent))
    for architecture in ("amd64", "arm64"):
        found, wanted = (lock[architecture]["static"]["diff-id"] for lock in (ours, shipped))
        expect(found == wanted, f"{architecture}: static is {found}, the shipped one {wanted}")
    debstrata(project, "--cache", ROOT / "cache", "fit", PROGRAM, "--tier", "debian13/debstrata")
    debstrata(project, "--cache", ROOT / "cache", "check", "--arch", "all", "debian13/debstrata")


@functools.cache
def pushed():
    """The repository that the images were pushed to, as a release pushes them."""
    registry = (started("registry") / "address").read_text().strip()
    repository = f"{registry}/team/debstrata"
    debstrata(built(), "push", "debian13/debstrata", f"{repository}:1.2.3{{-variant}}", "--tag", "latest{-variant}")
    return repository


def pushed_images_are_audited():
    """What is in the registry is what the lock and the packages make, as whoever uses a release can see."""
    debstrata(built(), "--cache", ROOT / "cache", "audit", "debian13/debstrata", "--arch", "all", "--against", f"{pushed()}:1.2.3")


def podman(*arguments, **options):
    return run(started("podman") / "podman", *arguments, **options)


def pull(variant=""):
    name = f"{pushed()}:latest{variant}"
    podman("pull", "--quiet", "--tls-verify=false", name)
    return name


def images_run():
    """Every variant comes from the registry for both architectures, and starts where it should."""
    index = json.loads((built() / "out/debian13/oci/index.json").read_text())
    named = {entry["annotations"]["org.opencontainers.image.ref.name"]: entry["digest"]
             for entry in index["manifests"] if "annotations" in entry}
    expect(sorted(named) == IMAGES, f"the layout has {sorted(named)}")
    for name in IMAGES:
        document = (built() / "out/debian13/oci/blobs/sha256" / named[name].removeprefix("sha256:")).read_text()
        found = sorted(each["platform"]["architecture"] for each in json.loads(document)["manifests"])
        expect(found == sorted(PLATFORMS[each] for each in ("amd64", "arm64")), f"{name} is for {found}")
        image = pull(name.removeprefix("debstrata"))
        expect(json.loads(podman("image", "inspect", image).stdout)[0]["Config"]["WorkingDir"] == "/work", f"{image}: its folder")
        arguments = ["-c", "debstrata --version"] if "-debug" in name else ["--version"]
        found = podman("run", "--rm", image, *arguments).stdout
        expect(found == version(), f"{image} says {found}")


def what_is_inside_builds_the_same():
    """Without a network, as root and as nobody in particular: the bytes of the program outside."""
    top = built().parent
    run(BINARY, "-C", top, "--cache", ROOT / "cache", "bundle", "debian13/static", "--output", work() / "static.tar")
    arguments = ["--bundle", "/work/static.tar", "build", "--format", "tar.gz,tar.zst,spdx,cdx,licenses,files,provenance", "--output"]
    run(BINARY, "--bundle", work() / "static.tar", *arguments[2:], work() / "outside")
    for variant in ("", "-nonroot"):
        folder = work() / f"inside{variant}"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        shutil.copy(work() / "static.tar", folder)
        podman("run", "--rm", "--volume", f"{folder}:/work", pull(variant), *arguments, "/work/out")
        same(outputs(folder / "out"), outputs(work() / "outside"), f"built inside{variant}")
        say(f"{variant or 'root'}: {len(outputs(folder / 'out'))} files")


def it_makes_itself():
    """The program in the image makes the image that it is in, from the lock and the packages."""
    project = built()
    cache = work() / "cache"
    for inputs in lock_of(project, "debian13")["inputs"].values():
        for package in inputs["packages"]:
            blob = pathlib.Path("downloads", package["sha256"][:2], package["sha256"])
            (cache / blob).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "cache" / blob, cache / blob)
    mounts = ["--volume", f"{project.parent}:/work:ro", "--volume", f"{cache}:/cache", "--volume", f"{work()}:/result"]
    podman("run", "--rm", *mounts, pull(), "-C", "packaging", "--cache", "/cache", "--offline", "build", "debian13/debstrata",
           "--locked", "--arch", "all", "--format", FORMATS, "--output", "/result/again")
    same(outputs(work() / "again"), outputs(project / "out"), "debstrata made by debstrata")


if __name__ == "__main__":
    main([deb_is_reproducible, layers_are_the_shipped_ones, pushed_images_are_audited, images_run,
          what_is_inside_builds_the_same, it_makes_itself])
