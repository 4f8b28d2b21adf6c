#!/usr/bin/env bash
# Measures jobs J1, J2, J3 (see README.md beside this file); prints Markdown, progress on stderr.
set -euo pipefail
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "$0")" && pwd)
source=$(dirname "$here")
runs=${RUNS:-5}
work=${WORK:-${TMPDIR:-/tmp}/debstrata-bench}
cores=$(nproc)
arch=$(dpkg --print-architecture)
jobs=("$@")
[ ${#jobs[@]} -gt 0 ] || jobs=(J1 J2 J3)
mkdir -p "$work"
results=$work/results
: >"$results"

say() { printf '%s\n' "$*" >&2; }

needs() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || { say "needed: $program"; exit 2; }
    done
}
needs dpkg-deb tar pigz jq python3 xargs /usr/bin/time

# The programs, unless given.
if [ -z "${DEBSTRATA:-}" ]; then
    say "building debstrata"
    cargo build --release --manifest-path "$source/Cargo.toml" >&2
    DEBSTRATA=$(cargo metadata --manifest-path "$source/Cargo.toml" --format-version 1 --no-deps |
        jq -r .target_directory)/release/debstrata
fi
if [ -z "${FLOOR:-}" ]; then
    FLOOR=$(cargo bench --manifest-path "$source/Cargo.toml" --bench floor --no-run --message-format json |
        jq -r 'select(.executable != null and .target.name == "floor").executable')
fi

# Runs a command and notes: job, way, wall seconds, CPU seconds, peak memory in KiB.
measure() {
    local job=$1 way=$2 before after
    shift 2
    # What the way before left to be written is not this one's to wait for.
    sync
    before=$EPOCHREALTIME
    /usr/bin/time -o "$work/time" -f '%U %S %M' "$@" >"$work/log" 2>&1 || {
        say "$job $way failed:"
        tail -40 "$work/log" >&2
        exit 1
    }
    after=$EPOCHREALTIME
    tail -1 "$work/time" | awk -v job="$job" -v way="$way" -v before="$before" -v after="$after" \
        '{ printf "%s\t%s\t%.4f\t%.2f\t%d\n", job, way, after - before, $1 + $2, $3 }' >>"$results"
    tail -1 "$results" >&2
}

# The project of a job: the shipped archive and its tiers (J1, all), or one tier of ours.
project() {
    local job=$1 folder=$work/$1 packages
    rm -rf "$folder/project"
    mkdir -p "$folder/project/manifests"
    case $job in
        all) cp -r "$source/manifests/." "$folder/project/manifests/"; return ;;
        J2) packages='"python3", "openjdk-17-jre-headless"' ;;
        J3) packages='"build-essential", "default-jdk-headless", "nginx", "imagemagick", "git", "vim", "ruby", "php-cli", "libreoffice-core-nogui"' ;;
    esac
    cp -r "$source/manifests/debian12" "$folder/project/manifests/"
    # One architecture: what is measured is one image.
    sed -i "s/^architectures *=.*/architectures = [\"$arch\"]/" "$folder/project/manifests/debian12/archive.toml"
    rm -f "$folder/project/manifests/debian12/debstrata.lock"
    # Without the catalogue: what is measured are the tiers that others stand on.
    if [ "$job" = J1 ]; then
        rm "$folder"/project/manifests/debian12/{java-base,openjdk17,python3}.toml
        return
    fi
    rm "$folder"/project/manifests/debian12/*.toml
    cp "$source/manifests/debian12/archive.toml" "$folder/project/manifests/debian12/"
    sed -i "s/^architectures *=.*/architectures = [\"$arch\"]/" "$folder/project/manifests/debian12/archive.toml"
    top_tier "$job" "$packages" >"$folder/project/manifests/debian12/top.toml"
}

top_tier() {
    printf 'summary = "Benchmark %s"\npackages = [%s]\ndependencies = "all"\n\n' "$1" "$2"
    printf '[globs]\nexclude = ["/usr/share/man/man9/**"] # edited\n'
}

# Another exclusion in the top tier for each run, one that drops files.
edit() {
    local job=$1 run=$2 folder=$work/$1/project/manifests/debian12
    case $job in
        J1)
            cp "$source/manifests/debian12/cc.toml" "$folder/cc.toml"
            python3 - "$folder/cc.toml" "$run" <<'PYTHON'
import re, sys
path, run = sys.argv[1], int(sys.argv[2])
text = open(path).read()
drop = ["/usr/share/doc/gcc-12-base/**", "/usr/share/doc/libgomp1/**", "/usr/share/gcc/**",
        "/usr/share/doc/libstdc++6/**", "/usr/share/gdb/**"][run % 5]
if re.search(r"(?m)^exclude *= *\[", text):
    text = re.sub(r"(?m)^exclude *= *\[", f'exclude = ["{drop}", ', text, count=1)
elif re.search(r"(?m)^\[globs\]", text):
    text = re.sub(r"(?m)^\[globs\]", f'[globs]\nexclude = ["{drop}"]', text, count=1)
else:
    text += f'\n[globs]\nexclude = ["{drop}"]\n'
open(path, "w").write(text)
PYTHON
            ;;
        *) sed -i "s|^exclude = .*# edited|exclude = [\"/usr/share/man/man$((run % 8 + 1))/**\"] # edited|" "$folder/top.toml" ;;
    esac
}

debstrata() {
    local job=$1
    shift
    "$DEBSTRATA" -C "$work/$job/project" --cache "$work/cache-$job" --quiet "$@"
}

# The .debs of a job, each once, as the pipeline wants them.
gather() {
    local job=$1 folder=$work/$1/debs tier
    rm -rf "$folder"
    mkdir -p "$folder"
    for tier in $(tiers "$job"); do
        debstrata "$job" show "$tier" --arch "$arch" --json
    done | jq -r 'if type == "array" then .[] else . end | .packages[] | "\(.name) \(.sha256)"' | sort -u |
        while read -r name sha256; do
            ln -f "$work/cache-$job/downloads/${sha256:0:2}/$sha256" "$folder/$name-${sha256:0:8}.deb"
        done
    say "$job: $(find "$folder" -name '*.deb' | wc -l) packages, $(du -sm "$folder" | cut -f1) MiB"
}

tiers() {
    case $1 in
        J1) echo debian12/static debian12/base debian12/cc ;;
        *) echo debian12/top ;;
    esac
}

# What a skilled user writes. $1: folder of .debs, $2: empty folder, $3: output.
cat >"$work/pipeline.sh" <<'PIPELINE'
#!/bin/sh
set -e
find "$1" -name '*.deb' -print0 | xargs -0 -P "$(nproc)" -I '{}' dpkg-deb -x '{}' "$2"
tar --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -C "$2" -cf - . | pigz -6 -n >"$3"
PIPELINE
chmod +x "$work/pipeline.sh"

pipeline() {
    local folder=$work/$1
    rm -rf "$folder/root" "$folder/pipeline.tar.gz"
    mkdir "$folder/root"
    measure "$1" pipeline "$work/pipeline.sh" "$folder/debs" "$folder/root" "$folder/pipeline.tar.gz"
    rm -rf "$folder/root"
}

# A flat repository with the .debs that mmdebstrap takes for J1 (its apt adds dependencies).
repository() {
    local folder=$work/J1/repository deb packages
    [ -e "$folder/Packages" ] && return
    needs mmdebstrap
    mkdir -p "$folder"
    local sources=(/etc/apt/sources.list)
    [ -e /etc/apt/sources.list.d/debian.sources ] && sources=(/etc/apt/sources.list.d/debian.sources)
    packages=$(for deb in "$work"/J1/debs/*.deb; do dpkg-deb -f "$deb" Package; done | paste -sd,)
    mmdebstrap --variant=extract --include="$packages" \
        --extract-hook="cp \"\$1\"/var/cache/apt/archives/*.deb '$folder/'" \
        bookworm "$work/J1/first.tar" "${sources[@]}" >&2
    rm -f "$work/J1/first.tar"
    for deb in "$folder"/*.deb; do
        dpkg-deb -f "$deb"
        printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$(basename "$deb")" "$(stat -c %s "$deb")" \
            "$(sha256sum "$deb" | cut -d' ' -f1)"
    done >"$folder/Packages"
}

mmdebstrap_extract() {
    local folder=$work/J1
    rm -f "$folder/mmdebstrap.tar.gz"
    measure J1 mmdebstrap mmdebstrap --variant=extract --include="$(cat "$folder/packages")" bookworm \
        "$folder/mmdebstrap.tar.gz" "deb [trusted=yes] copy://$folder/repository ./"
}

build() {
    local job=$1 way=$2
    # shellcheck disable=SC2046 # tiers have no spaces
    measure "$job" "$way" "$DEBSTRATA" -C "$work/$job/project" --cache "$work/cache-$job" --quiet \
        build $(tiers "$job") --arch "$arch" --offline --output "$work/$job/out"
}

floor() {
    local job=$1
    # shellcheck disable=SC2046
    "$FLOOR" "$work/$job/debs" $(find "$work/$job/tar" -name '*.tar' | sort) >"$work/floor"
    awk -v job="$job" '$1 == "floor" { floor = $2 } $1 == "total" { total = $2 }
        END { printf "%s\tfloor\t%.4f\t%.2f\t0\n", job, floor, total }' "$work/floor" >>"$results"
    tail -1 "$results" >&2
}

for job in "${jobs[@]}"; do
    say "$job: getting the packages"
    project "$job"
    # shellcheck disable=SC2046
    debstrata "$job" build $(tiers "$job") --arch "$arch" --format tar --output "$work/$job/tar" >&2
    gather "$job"
    cat "$work/$job"/debs/*.deb | sha256sum >/dev/null
    if [ "$job" = J1 ]; then
        repository
        for deb in "$work"/J1/debs/*.deb; do dpkg-deb -f "$deb" Package; done | paste -sd, >"$work/J1/packages"
    fi
    for run in $(seq "$runs"); do
        say "$job: run $run of $runs"
        floor "$job"
        pipeline "$job"
        [ "$job" = J1 ] && mmdebstrap_extract
        rm -rf "$work/cache-$job/derived" "$work/$job/out"
        build "$job" cold
        edit "$job" "$run"
        build "$job" warm
        build "$job" nothing
        measure "$job" help "$DEBSTRATA" --help
        rm -f "$work/$job/project/manifests/debian12/debstrata.lock"
        measure "$job" lock "$DEBSTRATA" -C "$work/$job/project" --cache "$work/cache-$job" --quiet lock
    done
done

say "all shipped tiers: nothing to do"
project all
"$DEBSTRATA" -C "$work/all/project" --cache "$work/cache-all" --quiet build --output "$work/all/out" >&2
for run in $(seq "$runs"); do
    measure all nothing "$DEBSTRATA" -C "$work/all/project" --cache "$work/cache-all" --quiet build --output "$work/all/out"
done

python3 "$here/table.py" "$results" "$cores" "$runs"
