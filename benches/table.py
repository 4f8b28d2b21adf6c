#!/usr/bin/env python3
"""Prints what benches/run.sh measured as Markdown: results file, cores, runs."""
import collections
import platform
import statistics
import sys

path, cores, runs = sys.argv[1:4]
values = collections.defaultdict(lambda: ([], [], []))
for line in open(path):
    job, way, *numbers = line.rstrip("\n").split("\t")
    for column, number in zip(values[job, way], numbers):
        column.append(float(number))


def median(job, way, column=0):
    found = values.get((job, way))
    return statistics.median(found[column]) if found else None


def seconds(value):
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


memory = next(int(line.split()[1]) for line in open("/proc/meminfo") if line.startswith("MemTotal"))
print(f"Machine: {model()}, {cores} cores, {memory / 2**20:.1f} GiB, Linux {platform.release()}.")
print(f"Medians of {runs} runs; the ways of a job are taken in turns.\n")

print("| job | way | wall | CPU | peak memory |")
print("| --- | --- | ---: | ---: | ---: |")
for job, way in values:
    wall, cpu, peak = (median(job, way, column) for column in range(3))
    print(f"| {job} | {way} | {seconds(wall)} | {seconds(cpu)} | {f'{peak / 1024:.0f} MiB' if peak else ''} |")

print("\n| job | figure | value | bound | |")
print("| --- | --- | ---: | ---: | --- |")


def row(job, figure, value, bound, shown="{:.2f}"):
    if value is not None:
        print(f"| {job} | {figure} | {shown.format(value)} | {shown.format(bound)} | {'yes' if value <= bound else '**no**'} |")


def ratio(job, above, below):
    upper, lower = median(job, above), median(job, below)
    return upper / lower if upper is not None and lower else None


for job in ("J1", "J2", "J3"):
    row(job, "cold / floor", ratio(job, "cold", "floor"), 1.3)
    if job != "J1":
        row(job, "cold / pipeline", ratio(job, "cold", "pipeline"), 0.5)
row("J1", "cold / mmdebstrap", ratio("J1", "cold", "mmdebstrap"), 1 / 8, "{:.3f}")
row("J3", "warm / pipeline", ratio("J3", "warm", "pipeline"), 0.15)
for job, way, bound in (("all", "nothing", 30), ("J1", "help", 10)):
    value = median(job, way)
    row(job, f"{way}, ms", value and value * 1000, bound, "{:.0f}")
peak = median("J3", "cold", 2)
row("J3", "peak memory of cold, MiB", peak and peak / 1024, 256, "{:.0f}")
for job in ("J1", "J2", "J3"):
    row(job, "lock of one architecture, s CPU", median(job, "lock", 1), 1.5)
    peak = median(job, "lock", 2)
    row(job, "peak memory of lock, MiB", peak and peak / 1024, 300, "{:.0f}")
