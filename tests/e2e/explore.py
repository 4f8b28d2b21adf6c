#!/usr/bin/env python3
"""Drives `explore` in a real terminal, through tmux. Needs tmux and the packages that
`debstrata build` left in the cache."""

import re
import shlex
import subprocess
import time

from common import BINARY, ROOT, Wrong, debstrata, expect, main, run, scratch

TIER = ["debian13/cc", "--arch", "amd64"]
# How long a screen may take before it is wrong, in seconds.
PATIENCE = 20


class Screen:
    """A terminal of its own, with a shell that tells how the program ended."""

    def __init__(self, folder, width=80, height=24, arguments=TIER):
        self.socket = folder / "tmux"
        command = shlex.join([str(BINARY), "-C", str(ROOT), "explore", *arguments])
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height,
                  f"stty -a | grep -o '.echo ' > {folder}/before; {command}; echo ended with $?; "
                  f"stty -a | grep -o '.echo ' > {folder}/after; exec cat")

    def tmux(self, *arguments):
        return run("tmux", "-S", self.socket, *arguments)

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def text(self):
        return self.tmux("capture-pane", "-p").stdout

    def until(self, *wanted, absent=()):
        """Waits until all texts are on the screen, and none of the others."""
        end = time.monotonic() + PATIENCE
        while True:
            text = self.text()
            if all(part in text for part in wanted) and not any(part in text for part in absent):
                return text
            if time.monotonic() > end:
                raise Wrong(f"{wanted} without {absent} never came; the screen is\n{text}")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], capture_output=True)


def keys_search_and_quit():
    """Keys move, search and filter; q gives the terminal back, status 0."""
    with scratch() as folder, Screen(folder) as screen:
        text = screen.until("debian13/cc amd64", "Layers", "Files by size", "? help")
        expect(all(len(line) <= 80 for line in text.splitlines()), "a line is longer than the terminal")
        screen.keys("Down", "Right")
        screen.until("▾ usr", "▸ lib")
        screen.keys("/", *"libcrypto.so", "Enter")
        screen.until("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "libssl3t64", "named in manifests/debian13/base.toml:")
        screen.keys("Escape")
        screen.until("? help")
        screen.keys("Tab", "Down")
        screen.until("Files of static by size", absent=["libcrypto"])
        screen.keys("s")
        screen.until("by name")
        screen.keys("?")
        screen.until("Ctrl-C")
        screen.keys("x")
        screen.until("Details", absent=["Ctrl-C"])
        screen.keys("q")
        screen.until("ended with 0", absent=["Layers"])
        end = time.monotonic() + PATIENCE
        while not (folder / "after").exists() or not (folder / "after").read_text():
            expect(time.monotonic() < end, "the shell never went on")
            time.sleep(0.02)
        expect((folder / "before").read_text() == (folder / "after").read_text(), "the terminal is not as it was")


def sizes():
    """The screen follows the terminal's size, down to what is too small."""
    with scratch() as folder, Screen(folder) as screen:
        screen.until("Files by size")
        for width, height in [(120, 40), (50, 14), (200, 60), (80, 24)]:
            screen.tmux("resize-window", "-x", width, "-y", height)
            end = time.monotonic() + PATIENCE
            while True:
                lines = [line for line in screen.text().splitlines() if re.match("┌ Details", line)]
                if lines and len(lines[0]) == width:
                    break
                expect(time.monotonic() < end, f"{width}x{height} was never drawn:\n{screen.text()}")
                time.sleep(0.02)
        screen.tmux("resize-window", "-x", 30, "-y", 8)
        screen.until("too small")
        screen.keys("C-c")
        screen.until("ended with 0")


def without_a_terminal():
    """A pipe is no terminal: status 2, and what to do instead."""
    done = debstrata(ROOT, "explore", *TIER, check=False)
    expect(done.returncode == 2 and "needs a terminal" in done.stderr and "--tree" in done.stderr, done.stderr)
    with scratch() as folder, Screen(folder, arguments=["cc", "--arch", "amd64"]) as screen:
        screen.until("ended with 2", "debian12/cc, debian13/cc")


if __name__ == "__main__":
    main([keys_search_and_quit, sizes, without_a_terminal])
