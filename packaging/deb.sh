#!/bin/sh
# Packs a program into a Debian package: packaging/deb.sh PROGRAM ARCHITECTURE FOLDER [DEPENDS]
# The same program gives the same package. DEPENDS is for a program that is not static.
# Needs cargo, which tells the version and the licences of what is linked in, and dpkg-deb.
set -eu
program=$1 architecture=$2 folder=$3 depends=${4:-}
top=$(cd "$(dirname "$0")/.." && pwd)
id=$(cd "$top" && cargo pkgid --locked)
version=${id##*[#@]}
case $architecture in
    amd64) target=x86_64-unknown-linux-musl ;;
    arm64) target=aarch64-unknown-linux-musl ;;
    *) echo "deb.sh: no Rust target is known for $architecture" >&2 && exit 2 ;;
esac

tree=$(mktemp -d)
trap 'rm -r "$tree"' EXIT
chmod 755 "$tree"
documents=$tree/usr/share/doc/debstrata
install -d -m 755 "$tree/DEBIAN" "$tree/usr/bin" "$documents"
install -m 755 "$program" "$tree/usr/bin/debstrata"
{
    echo "debstrata is yours under the MIT licence or the Apache licence 2.0, at your option."
    echo "The crates that are linked into it have the licences that stand beside them:"
    echo
    # Crate, version, licence; what else cargo says (paths, marks) is of this machine.
    (cd "$top" && cargo tree --locked --edges normal --target "$target" --prefix none --format '{p}|{l}') |
        sed -E 's/^([^ ]+ [^ |]+)[^|]*\|/\1: /; s/ \(\*\)$//' | LC_ALL=C sort -u
    echo
    cat "$top/LICENSE"
} > "$documents/copyright"
chmod 644 "$documents/copyright"
{
    echo "Package: debstrata"
    echo "Version: $version"
    echo "Architecture: $architecture"
    echo "Maintainer: The debstrata authors <debstrata@example.org>"
    [ -z "$depends" ] || echo "Depends: $depends"
    echo "Section: admin"
    echo "Priority: optional"
    echo "Description: declarative root-filesystem composer"
    echo " Composes root filesystems for containers out of Debian packages: one TOML"
    echo " manifest per image tier, one reproducible layer per manifest."
} > "$tree/DEBIAN/control"

mkdir -p "$folder"
SOURCE_DATE_EPOCH=0 dpkg-deb --root-owner-group -Z"${DPKG_DEB_COMPRESSOR_TYPE:-xz}" --build "$tree" \
    "$folder/debstrata_${version}_$architecture.deb"
