#!/usr/bin/env python3
"""The documentation as a book: every page is in its table of contents, every link leads somewhere, on the site of
docs/ too; and the workflow of the cookbook does what its page says. Needs git, dpkg-deb and python3-yaml."""

import os
import pathlib
import re
import shutil
import subprocess
import unicodedata

import yaml

from common import BINARY, ROOT, debstrata, expect, main, run, say, scratch

DOCS = ROOT / "docs"
SUMMARY = DOCS / "SUMMARY.md"
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2`*\s*?$", re.M | re.S)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^()\s]+)\)")
WORKFLOW = DOCS / "cookbook/daily.yml"


def prose(page):
    """A page without its code."""
    return re.sub(r"`+[^`\n]+`+", lambda code: "`" + "x" * len(code[0]) + "`", FENCE.sub("", page.read_text()))


def anchors(page):
    """What links to its headings say, as GitHub and mdBook have it."""
    found = {}
    for line in FENCE.sub("", page.read_text()).splitlines():
        if not (heading := re.match(r"#{1,6} +(.*?) *$", line)):
            continue
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "").lower()
        kept = "".join(c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN").replace(" ", "-")
        found[kept] = found.get(kept, -1) + 1
    return {name if number == 0 else f"{name}-{number}" for name, last in found.items() for number in range(last + 1)}


def pages():
    return sorted(page for page in DOCS.rglob("*.md") if page != SUMMARY)


def every_page_is_in_the_table_of_contents():
    """SUMMARY.md has each page of docs/ once, and no other."""
    listed = [DOCS / target for target in LINK.findall(SUMMARY.read_text())]
    expect(len(listed) == len(set(listed)), f"twice: {[page.name for page in listed if listed.count(page) > 1]}")
    names = lambda some: sorted(str(page.relative_to(DOCS)) for page in some)
    expect(names(listed) == names(pages()), f"only in one: {sorted(set(names(listed)) ^ set(names(pages())))}")
    for page in pages():
        first = page.read_text().split("\n", 1)[0]
        expect(first.startswith("# "), f"{page} begins with {first!r}, not with its title")
        for target in re.findall(r"\{\{#include ([^}]+)\}\}", page.read_text()):
            expect((page.parent / target).is_file(), f"{page} includes {target}")
    say(f"{len(listed)} pages")


def every_link_leads_somewhere():
    """Relative links and their anchors, in docs/ and in the files at the top."""
    wrong, count = [], 0
    for page in [SUMMARY, *pages(), *sorted(ROOT.glob("*.md"))]:
        for target in LINK.findall(prose(page)):
            if re.match(r"[a-z]+:", target):
                continue
            count += 1
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            name = f"{page.relative_to(ROOT)}: {target}"
            if not there.exists():
                wrong.append(f"{name}: nothing is there")
            elif anchor and (there.suffix != ".md" or anchor not in anchors(there)):
                wrong.append(f"{name}: no heading is called so")
            elif page.is_relative_to(DOCS) and not there.is_relative_to(DOCS):
                wrong.append(f"{name}: leads out of docs/, which the site does not")
    expect(not wrong, "\n".join(wrong))
    expect(count > 100, f"only {count} links were found")
    say(f"{count} links")


def package(folder, version):
    root = folder / "package"
    shutil.rmtree(root, ignore_errors=True)
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        f"Package: hello\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@example.org>\nDescription: greets\n")
    (root / "usr/share/hello").mkdir(parents=True)
    (root / "usr/share/hello/version").write_text(version)
    run("dpkg-deb", "--root-owner-group", "--build", root, folder / f"project/manifests/own/debs/hello_{version}.deb")


# Stands for GitHub's program: writes down what it is asked, and knows of a pull request once it made one.
GH = """#!/bin/sh
printf '%s\\n' "$*" >> "$0.log"
case "$1 $2" in
    "pr list") test -e "$0.open" && echo 1 || echo 0 ;;
    "pr create") touch "$0.open" ;;
esac
"""


class Runner:
    """Runs the steps of a workflow's one job, as far as this workflow needs."""

    def __init__(self, folder, workflow):
        self.folder, self.project = folder, folder / "project"
        (job,) = workflow["jobs"].values()
        self.steps = [step for step in job["steps"] if "run" in step and step["name"] != "install"]
        self.uses = [step for step in job["steps"] if "run" not in step or step["name"] == "install"]
        self.environment = {name: str(value) for name, value in workflow["env"].items()}

    def day(self):
        """The steps that ran."""
        temporary, outputs, ran = self.folder / "temporary", {}, []
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        run("git", "-C", self.project, "switch", "--quiet", "main")
        for step in self.steps:
            if condition := step.get("if"):
                name, wanted = re.fullmatch(r"steps\.upgrade\.outputs\.(\w+) == '(\w+)'", condition).groups()
                if outputs.get(name) != wanted:
                    continue
            environment = self.environment | {
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "RUNNER_TEMP": str(temporary),
                "GITHUB_OUTPUT": str(temporary / "outputs"), "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
                "GITHUB_REF_NAME": "main",
            }
            # As GitHub runs them.
            done = run("bash", "-eo", "pipefail", "-c", step["run"], cwd=self.project, env=environment, check=False)
            ran.append(step["name"])
            if done.returncode:
                return ran, done
            if (temporary / "outputs").exists():
                outputs = dict(line.split("=", 1) for line in (temporary / "outputs").read_text().splitlines())
        return ran, None


def the_daily_workflow_does_what_it_says():
    """The steps of cookbook/daily.yml, in a project of one package that gets newer."""
    workflow = yaml.safe_load(WORKFLOW.read_text())
    expect(set(workflow) == {"name", True, "permissions", "concurrency", "env", "jobs"}, f"{set(workflow)}")
    with scratch() as folder:
        runner = Runner(folder, workflow)
        expect([step.get("name") or step["uses"] for step in runner.uses]
               == ["actions/checkout@v4", "actions/cache@v4", "install"], "the steps that are not run here")
        project = runner.project
        for name in ("bin", "project/manifests/own/debs", "origin"):
            (folder / name).mkdir(parents=True)
        (folder / "bin/debstrata").symlink_to(BINARY)
        gh = folder / "bin/gh"
        gh.write_text(GH)
        gh.chmod(0o755)
        (project / "manifests/own/archive.toml").write_text(
            'architectures = ["amd64", "arm64"]\n[[sources]]\nfolder = "debs"\n')
        (project / "manifests/own/hello.toml").write_text(
            'packages = ["hello"]\nfiles = [{ path = "/all", text = "", mode = 0o666 }]\n')
        (project / ".gitignore").write_text("out\ncache\n")
        package(folder, "1.0")
        debstrata(project, "build", "--arch", "all")
        git = lambda *arguments: run("git", "-C", project, *arguments).stdout
        git("init", "--quiet", "--initial-branch", "main")
        run("git", "init", "--quiet", "--bare", folder / "origin")
        git("remote", "add", "origin", folder / "origin")
        git("add", ".")
        git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--message", "start")
        start = git("rev-parse", "HEAD")

        shutil.rmtree(folder / "project/out")
        ran, failed = runner.day()
        expect(not failed and ran == ["rebuild", "upgrade"], f"a day without news: {ran} {failed}")
        expect(not gh.with_suffix(".log").exists() and not git("status", "--porcelain"), "it leaves nothing")

        # `lock` leaves 1.0 as it is; a folder without it would make the lock stale, which is another story.
        package(folder, "1.1")
        steps = ["rebuild", "upgrade", "report", "pull request"]
        ran, failed = runner.day()
        expect(not failed and ran == steps, f"a day with news: {ran} {failed}")
        report = (folder / "temporary/report.md").read_text()
        for words in ("| ~ | `hello` | `1.0 -> 1.1` |", "world-writable /all", "~  hello    1.0 -> 1.1", "2 tiers"):
            expect(words in report, f"{words!r} is not in the report:\n{report}")
        branch = workflow["env"]["BRANCH"]
        pushed = git("ls-remote", "origin", branch).split("\t")[0]
        expect(git("show", "--name-only", "--format=", pushed).split() == ["manifests/own/debstrata.lock"], "one file")
        expect(git("rev-parse", f"{pushed}~1") == start, "on top of what was there")
        asked = gh.with_suffix(".log").read_text().splitlines()
        expect([line.split()[1] for line in asked] == ["list", "create"], f"{asked}")
        git("switch", "--quiet", "--detach", pushed)
        debstrata(project, "build", "--locked", "--arch", "all")

        package(folder, "1.2")
        ran, failed = runner.day()
        expect(not failed and ran == steps, f"the next: {ran} {failed}")
        asked = gh.with_suffix(".log").read_text().splitlines()
        expect([line.split()[1] for line in asked[2:]] == ["list", "edit"], f"{asked}")
        expect("1.0 -> 1.2" in (folder / "temporary/report.md").read_text(), "against main")

        git("switch", "--quiet", "main")
        lock = project / "manifests/own/debstrata.lock"
        lock.write_text(re.sub(r'diff-id = "sha256:....', 'diff-id = "sha256:0000', lock.read_text()))
        git("-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "--quiet", "--all", "--message", "wrong")
        ran, failed = runner.day()
        expect(ran == ["rebuild"] and failed.returncode == 1, f"other bytes than the lock says: {ran} {failed}")


if __name__ == "__main__":
    main([every_page_is_in_the_table_of_contents, every_link_leads_somewhere, the_daily_workflow_does_what_it_says])
