#!/bin/sh
# Install the Sample Explorer for yourself, without root: `sh install.sh [--prefix DIR]`.
#
# It goes below ~/.local, or below DIR: the program into lib/sample-explorer, a link to it into bin, and
# what the desktop needs (menu entry, icons, file type, man page) into share. Run it again, from a newer
# archive, to upgrade. `uninstall.sh` in lib/sample-explorer takes all of it away again, and neither of
# the two touches your library.
set -eu

die() { printf '%s\n' "$*" >&2; exit "${code:-1}"; }
usage() { code=2 die "Usage: sh install.sh [--prefix DIR]"; }

prefix=${HOME:?is not set}/.local
case $#${1:-} in
    0) ;;
    2--prefix) prefix=$2 ;;
    1--prefix=?*) prefix=${1#--prefix=} ;;
    *) usage ;;
esac
[ -n "$prefix" ] || usage
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ -x "$here/program/sample-explorer" ] || die "$here/program is not complete; unpack the archive again."
mkdir -p "$prefix" || die "$prefix cannot be made; name another place with --prefix."
prefix=$(CDPATH='' cd -- "$prefix" && pwd)
program=$prefix/lib/sample-explorer
[ -w "$prefix" ] || die "$prefix cannot be written; name another place with --prefix."

# First beside its place, so that a full disk leaves what was there.
mkdir -p "$prefix/lib" "$prefix/bin" "$prefix/share"
rm -rf "$program.new"
trap 'rm -rf "$program.new"' EXIT
cp -R "$here/program" "$program.new"
cp "$here/uninstall.sh" "$program.new/uninstall.sh"
(cd "$here/share" && find . -type f) | sed 's|^\./|share/|' >"$program.new/installed-files"
if [ -d "$program" ]; then
    [ -f "$program/installed-files" ] || die "$program is there and is not the Sample Explorer; nothing was done."
    [ ! -d "$program/data" ] || mv "$program/data" "$program.new/data" # portable mode keeps its data there
    # What only the older version had goes with it.
    while IFS= read -r file; do rm -f "$prefix/$file"; done <"$program/installed-files"
    rm -rf "$program.old"
    mv "$program" "$program.old"
fi
mv "$program.new" "$program"
rm -rf "$program.old"

cp -R "$here/share/." "$prefix/share/"
# A menu looks for programs in places that need not include ~/.local/bin.
entry=$prefix/share/applications/sample-explorer.desktop
quoted=$(printf '%s' "$program/sample-explorer" | sed 's/%/%%/g; s/[\\&|]/\\&/g')
sed "s|^Exec=.*|Exec=\"$quoted\"|" "$entry" >"$entry.part"
mv "$entry.part" "$entry"
ln -sf ../lib/sample-explorer/sample-explorer "$prefix/bin/sample-explorer"

sh "$program/uninstall.sh" --refresh "$prefix"
printf 'Installed in %s. Start it from the menu, or as %s.\n' "$program" "$prefix/bin/sample-explorer"
case :${PATH:-}: in
    *:"$prefix/bin":*) ;;
    *) printf 'To start it by its name alone, add %s to PATH.\n' "$prefix/bin" ;;
esac
printf 'To remove it: sh %s/uninstall.sh\n' "$program"
