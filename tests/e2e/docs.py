#!/usr/bin/env python3
"""Runs every command of README.md, CONTRIBUTING.md and docs/, and compares what it prints with what the
page says. Needs root, docker.io, podman, skopeo, umoci, docker-registry, musl-tools, libsqlite3-dev, gpg,
openssl, git, and in its Python jsonschema and what docs/sbom.md names.

    docs.py [PAGE..]             such as docs/tutorial.md; all without a name
    docs.py --update [PAGE..]    writes what is printed now into the pages, where it is not as they say

How a page is written:

- A fenced block names its language. Commands stand in blocks of `console`: `$ ` begins a command, `> `
  goes on with it, all else is what it prints on stdout and stderr. A line `...` stands for any lines, and
  `…` for any text within a line. What the committed locks pin is written out. Lines about packages that
  are fetched or unpacked are no part of it, since they depend on the cache.
- A command ends with status 0. Before a block whose last one does not: `<!-- status 1 -->`.
- What a page takes as given is done by shell commands in a comment, which no reader sees:
  `<!-- given` on a line, the commands, `-->` on a line.
- A block behind a line that ends in "`PATH`:" is that file of the project.
- Other blocks of `toml` are fragments of a tier or of an archive, and the schema must take them.
- In the text, `debstrata VERB --option` is compared with what the help says.

Each page has a project of its own, with the shipped manifests and their locks. The cache is one of hard
links to that of the repository. `registry.example.org` and `mirror.example.org` are servers on loopback;
docker and podman are those of tests/tools, cosign is a stand-in that openssl judges for."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

import jsonschema

from common import BINARY, ROOT, Wrong, expect, host, mirror_of, new_project, run, say
from layouts import UNDO, need, started, work

# Commands that are not run here, and why: other steps of .ci/run run them, or they need a release.
ELSEWHERE = {
    "cargo install --path .": "the program is there: `cargo run --release` makes the same",
    "cargo test": "a step of its own",
    "cargo test --features oracles": "a step of its own",
    "sha256sum --check --ignore-missing SHA256SUMS": "of a release",
    "gh attestation verify debstrata-1.2.3-amd64.tar.gz --repo OWNER/debstrata": "of a release",
    'docker run --rm -v "$PWD:/work" registry.example.org/team/debstrata:1.2.3 '
    "--mirror debian=https://mirror.example.org/debian build": "of a release; selfmade.py runs an image",
    "mkdir packaging/debs && cp debstrata_*.deb packaging/debs": "of a release; selfmade.py makes them",
    "cp debstrata.lock packaging/manifests/debian13": "of a release",
    "debstrata -C packaging audit debian13/debstrata --arch all --against registry.example.org/team/debstrata:1.2.3":
        "of a release; selfmade.py audits its own",
}
# Pages that debstrata writes itself.
GENERATED = {
    "docs/errors.md": ["--explain", "all"],
    "docs/command-line.md": ["man", "--markdown"],
    "docs/manifest-reference.md": ["schema", "--markdown"],
}

# What depends on the cache, and no page shows.
PROGRESS = re.compile(r"(fetching|unpacking) \d+ packages|.*: composing, to list it")

REGISTRY, MIRROR = "registry.example.org", "https://mirror.example.org"


class Page:
    """The parts of a page in their order: ("given", commands), ("run", number of the line, command,
    output, status), ("file", path, text), ("toml", number, text)."""

    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.lines = path.read_text().splitlines()
        self.parts, self.prose = [], []
        at, status = 0, 0
        while at < len(self.lines):
            line = self.lines[at]
            if line == "<!-- given":
                end = self.until(at, "-->")
                self.parts.append(("given", "\n".join(self.lines[at + 1 : end])))
                at = end
            elif found := re.fullmatch(r"<!-- status (\d+) -->", line):
                status = int(found[1])
            elif fence := re.fullmatch(r"( *)(`{3,})(\w*)", line):
                end = self.until(at, fence[1] + fence[2])
                self.block(at, end, fence[3], status)
                at, status = end, 0
            else:
                self.prose.append((at + 1, line))
            at += 1

    def wrong(self, at, text):
        raise Wrong(f"{self.name}:{at + 1}: {text}")

    def until(self, at, wanted):
        for end in range(at + 1, len(self.lines)):
            if self.lines[end] == wanted:
                return end
        self.wrong(at, f"no {wanted} ends this")

    def block(self, at, end, language, status):
        lines = self.lines[at + 1 : end]
        above = next((line for line in reversed(self.lines[:at]) if line), "")
        label = re.search(r"`([\w./-]+)`:$", above)
        if not language or language == "sh":
            self.wrong(at, "commands stand in blocks of `console`, all else names its language")
        if language == "console":
            self.console(at, lines, status)
            return
        for offset, line in enumerate(lines, 1):
            if line.startswith("$ ") and self.name not in GENERATED:
                self.wrong(at + offset, "a command outside of a block of `console`")
        if label:
            self.parts.append(("file", label[1], "\n".join(lines) + "\n"))
        elif language == "toml":
            self.parts.append(("toml", at + 1, "\n".join(lines)))

    def console(self, at, lines, status):
        if not lines or not lines[0].startswith("$ "):
            self.wrong(at, "a block of `console` begins with a command")
        commands = []
        for number, line in enumerate(lines, at + 1):
            if line.startswith("$ "):
                commands.append([number, [line[2:]], []])
            elif line.startswith("> ") and not commands[-1][2]:
                commands[-1][1].append(line[2:])
            else:
                commands[-1][2].append(line)
        for index, (number, command, output) in enumerate(commands):
            wanted = status if index == len(commands) - 1 else 0
            self.parts.append(("run", number, "\n".join(command), output, wanted))

    def text(self):
        return "\n".join(part[2] for part in self.parts if part[0] == "run")


def pattern(lines):
    """What the lines of a page stand for."""
    parts = []
    for line in lines:
        parts.append(r"(?:[^\n]*\n)*?" if line == "..." else
                     "[^\n]*?".join(re.escape(part) for part in line.rstrip().split("…")) + "\n")
    return re.compile("".join(parts))


def printed(output):
    """The lines of a terminal without what only a test's machine says."""
    output = re.sub(r"\x1b\[[0-9;]*m", "", output)
    output = re.sub(r"DEPRECATED: The legacy builder.*?\n\n", "", output, flags=re.DOTALL)
    lines = [line.rstrip() for line in output.splitlines() if not PROGRESS.fullmatch(line)]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def trimmed(lines):
    lines = list(lines)
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Machine:
    """What a reader has: a home, programs, a registry, a mirror, and one project for each page."""

    def __init__(self):
        self.folder = ROOT / "target/e2e-docs"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        UNDO.callback(shutil.rmtree, self.folder)
        self.cache = self.folder / "cache"
        shutil.copytree(ROOT / "cache", self.cache, copy_function=os.link, symlinks=True)
        self.programs = self.folder / "bin"
        self.home = self.folder / "home"
        self.programs.mkdir()
        self.home.mkdir(mode=0o700)
        (self.programs / "debstrata").symlink_to(BINARY)
        (self.programs / "cosign").symlink_to(ROOT / "tests/tools/cosign.py")
        self.program("cargo", '[ "$1 $2 $3" = "run --release --" ] || exit 9; shift 3; exec debstrata "$@"')
        # Git's "dubious ownership" and identity, an editor that asks nothing.
        (self.home / ".gitconfig").write_text("[user]\nname = Reader\nemail = reader@example.org\n[init]\ndefaultBranch = main\n"
                                              "[safe]\ndirectory = *\n[advice]\ndetachedHead = false\n")
        kept = {name: value for name, value in os.environ.items() if name.startswith("DEBSTRATA_") or name.endswith("_proxy")}
        self.path = f"{pathlib.Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = kept | {"PATH": f"{self.programs}:{self.path}", "HOME": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb"}
        self.stand_ins = {}

    def program(self, name, text):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def provide(self, page):
        """Starts what a page's commands need."""
        text = page.text()
        if re.search(r"\b(docker|ctr)\b", text) and not (self.programs / "docker").exists():
            folder = started("dockerd")
            self.program("docker", f'PATH={self.path} exec {folder}/docker "$@"')
            # The containerd of that docker; where overlayfs does not work, plain copies do.
            self.environment["CONTAINERD_ADDRESS"] = str(folder / "exec/containerd/containerd.sock")
            self.environment["CONTAINERD_SNAPSHOTTER"] = "native"
        if re.search(r"\bpodman\b", text) and not (self.programs / "podman").exists():
            self.program("podman", f'PATH={self.path} exec {started("podman")}/podman "$@"')
        if REGISTRY in text and REGISTRY not in self.stand_ins:
            need("docker-registry", "docker-registry")
            address = (started("registry") / "address").read_text().strip()
            self.stand_ins[REGISTRY] = address
            settings = self.home / ".config/containers/registries.conf"
            settings.parent.mkdir(parents=True)
            settings.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        if MIRROR in text and MIRROR not in self.stand_ins:
            options = UNDO.enter_context(mirror_of(self.cache, ROOT))
            self.stand_ins[f"{MIRROR}/debian"] = self.stand_ins[MIRROR] = options[1].partition("=")[2]

    def project(self, page):
        """A page's project, as a clone of the repository has it."""
        folder = self.folder / "pages" / page.name.replace("/", "-").removesuffix(".md") / "debstrata"
        folder.mkdir(parents=True)
        new_project(folder)
        shutil.copytree(ROOT / "docs/schema", folder / "docs/schema")
        (folder / "cache").symlink_to(self.cache)
        (folder / ".gitignore").write_text("/cache\n/out\n/target\n")
        return folder

    def sh(self, folder, command):
        """Runs a command in the folder; its status, what it prints, and the folder that it leaves."""
        for name, address in self.stand_ins.items():
            command = command.replace(name, address)
        left = self.folder / "left"
        script = 'eval "$1"; status=$?; pwd > "$2"; exit $status'
        done = subprocess.run(["bash", "-c", script, "bash", command, left], cwd=folder, env=self.environment, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
        output = done.stdout
        for name, address in self.stand_ins.items():
            output = output.replace(address, name)
        return done.returncode, printed(output), pathlib.Path(left.read_text().strip())


def follow(page, machine, update, used):
    """Does what a page says, from its top to its end."""
    machine.provide(page)
    project = folder = machine.project(page)
    edits, ran = [], 0
    for kind, *rest in page.parts:
        if kind == "given":
            status, output, folder = machine.sh(folder, "set -e\n" + rest[0])
            expect(status == 0, f"{page.name}: what is given ends with {status}: {rest[0]}\n" + "\n".join(output))
        elif kind == "file":
            path = folder / rest[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest[1])
        elif kind == "toml":
            fragment(page, *rest)
        else:
            number, command, wanted, status = rest
            ran += 1
            plain = re.sub(r"\s+#.*", "", command)
            if plain in ELSEWHERE:
                used.add(plain)
                continue
            found, output, folder = machine.sh(folder, command)
            shown = "\n".join(output)
            place = f"{page.name}:{number + 1}: {command}"
            expect(found == status, f"{place}\nends with {found} instead of {status}:\n{shown}")
            if not pattern(trimmed(wanted)).fullmatch("".join(line + "\n" for line in output)):
                expect(update, f"{place}\nprints\n{shown}\ninstead of\n" + "\n".join(trimmed(wanted)))
                first = number + 1 + command.count("\n")
                edits.append((first, first + len(trimmed(wanted)), output))
    for first, end, output in reversed(edits):
        page.lines[first:end] = output
    if edits:
        page.path.write_text("\n".join(page.lines) + "\n")
        say(f"{page.name}: {len(edits)} outputs written anew")
    shutil.rmtree(project.parent)
    return ran


def fragment(page, at, text):
    """A part of a manifest must be what the schema takes, once it has the keys that every manifest needs."""
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        page.wrong(at, f"no TOML: {error}")
    if "schema" in value:
        return  # a lock; what it holds is shortened
    kind = "archive" if {"sources", "architectures"} & value.keys() else "tier"
    least = {"architectures": ["amd64"], "sources": [{"folder": "debs"}]} if kind == "archive" else {}
    schema = json.loads((ROOT / f"docs/schema/{kind}.schema.json").read_text())
    # Dates are strings to a schema.
    value = json.loads(json.dumps({"summary": "x"} | least | value, default=str))
    for error in jsonschema.Draft202012Validator(schema).iter_errors(value):
        page.wrong(at, f"{error.json_path}: {error.message}")


def options_of():
    """The options of every verb, by the verb; those of all verbs by the empty name."""
    text = run(BINARY, "man", "--markdown").stdout
    found, verb = {"": set()}, ""
    for line in text.splitlines():
        if heading := re.match(r"#+ .*?([a-z]+)`?$", line):
            verb = heading[1]
            found.setdefault(verb, set())
        found.setdefault(verb, set()).update(re.findall(r"(?<![\w-])--[a-z-]+", line))
    return found


def named(page, known):
    """Commands in the text and in generated pages: the verb and its options exist."""
    anywhere = set().union(known.get("debstrata", set()), known[""])
    count = 0
    lines = list(enumerate(page.lines, 1)) if page.name in GENERATED else page.prose
    for number, line in lines:
        spans = re.findall(r"`(debstrata [^`]+)`", line)
        if page.name in GENERATED and line.startswith("$ debstrata "):
            spans.append(line[2:])
        for span in spans:
            words = re.sub(r"'[^']*'", "", span).split()[1:]
            verbs = [word for word in words if word in known and word != "debstrata"]
            options = {re.match(r"--[a-z-]*", word)[0] for word in words if re.match(r"--[a-z]", word)}
            missing = options - anywhere.union(*(known[verb] for verb in verbs))
            if missing or not (verbs or options or words[0] in ("VERB", "<distribution>/<tier>")):
                page.wrong(number - 1, f"`{span}`: the help knows no {', '.join(sorted(missing)) or 'such verb'}")
            count += 1
    return count


def main():
    arguments = sys.argv[1:]
    update = "--update" in arguments
    chosen = [ROOT / name for name in arguments if not name.startswith("-")]
    every = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    expect(os.geteuid() == 0, "containers need root")
    expect(host() == "amd64", "the pages show amd64")
    work()
    machine, known = Machine(), options_of()
    failed, commands, spans, used = 0, 0, 0, set()
    for path in chosen or every:
        try:
            page = Page(path)
            spans += named(page, known)
            if page.name in GENERATED:
                text = run(BINARY, *GENERATED[page.name]).stdout
                expect(text == path.read_text(), f"{page.name} is not what `debstrata {' '.join(GENERATED[page.name])}` prints")
                continue
            ran = follow(page, machine, update, used)
            commands += ran
            if ran:
                say(f"{page.name}: {ran} commands")
        except Wrong as wrong:
            failed += 1
            say(f"WRONG: {wrong}")
    if not chosen and ELSEWHERE.keys() - used:
        failed += 1
        say(f"WRONG: no page says any longer: {sorted(ELSEWHERE.keys() - used)}")
    print(f"{commands} commands run, {spans} named in the text, {failed} pages wrong", flush=True)
    sys.exit(1 if failed or not commands else 0)


if __name__ == "__main__":
    main()
