#!/bin/sh
# Remove what install.sh has installed: `sh uninstall.sh`. Your library, settings and models stay.
set -eu

refresh() { # The caches of a desktop, where it has any; nothing depends on it.
    share=$1/share
    ! command -v update-desktop-database >/dev/null || update-desktop-database -q "$share/applications" || true
    ! command -v update-mime-database >/dev/null || update-mime-database "$share/mime" 2>/dev/null || true
    ! command -v gtk-update-icon-cache >/dev/null ||
        gtk-update-icon-cache -q -t -f "$share/icons/hicolor" 2>/dev/null || true
}

if [ "${1:-}" = --refresh ]; then
    refresh "$2"
    exit
fi
[ $# = 0 ] || { echo "Usage: sh uninstall.sh" >&2; exit 2; }
program=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
[ -f "$program/installed-files" ] || { echo "$program was not installed by install.sh; nothing was done." >&2; exit 1; }
prefix=$(CDPATH='' cd -- "$program/../.." && pwd)

while IFS= read -r file; do
    rm -f "$prefix/$file"
done <"$program/installed-files"
if [ "$(readlink "$prefix/bin/sample-explorer" 2>/dev/null)" = ../lib/sample-explorer/sample-explorer ]; then
    rm -f "$prefix/bin/sample-explorer"
fi
data=${XDG_DATA_HOME:-$HOME/.local/share}/sample-explorer
if [ -d "$program/data" ]; then # portable mode
    data=$program/data
    find "$program" -mindepth 1 -maxdepth 1 ! -name data -exec rm -rf {} +
else
    rm -rf "$program"
fi
refresh "$prefix"
echo "Sample Explorer is removed."
if [ -d "$data" ]; then
    echo "Your library, settings and models are still in $data; delete that folder if you want them gone."
fi
