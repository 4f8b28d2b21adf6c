"""What the end-to-end checks share. They use nothing of debstrata but its command line, its
documented files and the bytes that it writes."""

import contextlib
import functools
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / "target/release/debstrata"


# The tiers that others stand on: made of packages and declared paths alone, and quick to build.
CORE = [f"{distribution}/{tier}" for distribution in ("debian12", "debian13")
        for tier in ("static", "base-nossl", "base", "cc")]


class Wrong(Exception):
    """A check found something wrong."""


def say(text):
    print(f"e2e: {text}", flush=True)


def expect(condition, text):
    if not condition:
        raise Wrong(text)


def run(*arguments, check=True, env=None, **options):
    """Runs a command; its output is captured as text."""
    environment = dict(os.environ, **(env or {}))
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True, text=True, errors="replace", env=environment, **options,
    )
    if check and done.returncode != 0:
        raise Wrong(f"{arguments} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def debstrata(project, *arguments, **options):
    return run(BINARY, "-C", project, *arguments, **options)


@contextlib.contextmanager
def scratch():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="debstrata-e2e-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def new_project(folder, distributions=None):
    """A project with the shipped manifests and their locks, and nothing else."""
    project = pathlib.Path(folder)
    shutil.copytree(ROOT / "manifests", project / "manifests")
    for distribution in (project / "manifests").iterdir():
        if distributions and distribution.name not in distributions:
            shutil.rmtree(distribution)
    return project


def lock_of(project, distribution):
    return tomllib.loads((project / "manifests" / distribution / "debstrata.lock").read_text())


def distributions(project):
    return sorted(path.name for path in (project / "manifests").iterdir() if path.is_dir())


def load_archive(project, distribution):
    return tomllib.loads((project / "manifests" / distribution / "archive.toml").read_text())


def load_tier(project, distribution, tier):
    return tomllib.loads((project / "manifests" / distribution / f"{tier}.toml").read_text())


def tiers(project, distribution):
    folder = project / "manifests" / distribution
    return sorted(path.stem for path in folder.glob("*.toml") if path.stem != "archive")


def chain(project, distribution, tier):
    """A tier's ancestors and itself, the root tier first."""
    found = [tier]
    while parent := load_tier(project, distribution, found[0]).get("parent"):
        found.insert(0, parent)
    return found


def host():
    return run("dpkg", "--print-architecture").stdout.strip()


def outputs(folder):
    """Bytes of every file below an output folder, by relative name."""
    folder = pathlib.Path(folder)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def same(found, wanted, what):
    expect(sorted(found) == sorted(wanted), f"{what}: files differ: {sorted(set(found) ^ set(wanted))}")
    for name in wanted:
        expect(found[name] == wanted[name], f"{what}: {name} differs")


@contextlib.contextmanager
def mirror_of(cache, project):
    """Serves, on loopback, the locked .debs that a cache holds, under the paths of the archive."""
    files = {}
    for distribution in distributions(project):
        for inputs in lock_of(project, distribution)["inputs"].values():
            for package in inputs["packages"]:
                blob = cache / "downloads" / package["sha256"][:2] / package["sha256"]
                if blob.exists():
                    files["/" + package["path"]] = blob

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            blob = files.get(self.path)
            body = blob.read_bytes() if blob else b""
            self.send_response(200 if blob else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_):  # a killed client is what these checks are about
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield ["--mirror", f"debian={uri}", "--mirror", f"debian-security={uri}"]
    finally:
        server.shutdown()


def main(checks):
    """Runs the named checks (all, where none is named) and says how it went."""
    chosen = [check for check in checks if not sys.argv[1:] or check.__name__ in sys.argv[1:]]
    failed = 0
    for check in chosen:
        say(f"{check.__name__}: {check.__doc__.splitlines()[0]}")
        try:
            check()
        except Wrong as wrong:
            failed += 1
            say(f"{check.__name__}: WRONG: {wrong}")
    print(f"{len(chosen) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed or not chosen else 0)
