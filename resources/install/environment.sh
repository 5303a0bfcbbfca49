#!/bin/sh
# Make .venv ready for one purpose: `environment.sh run|test|build`, from the top folder of a checkout.
#
# Finds a Python of 3.11 or newer, makes the virtual environment, installs the program into it (editable,
# with the extra of that name), and then asks the loader what Qt still misses. Only where something is
# missing, and only on Debian, Ubuntu and their kin, it installs system packages, and says so first.
set -eu

purpose=${1:?one of run, test, build}
oldest='import sys; sys.exit(sys.version_info < (3, 11))'
qt_packages="libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libfreetype6 libxkbcommon0
 libxkbcommon-x11-0 libx11-6 libx11-xcb1 libxcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0
 libxcb-keysyms1 libxcb-randr0 libxcb-render0 libxcb-render-util0 libxcb-shape0 libxcb-shm0
 libxcb-sync1 libxcb-util1 libxcb-xfixes0 libxcb-xkb1"

say() { printf '%s\n' "$*" >&2; }

install_packages() { # names of Debian packages
    if ! command -v apt-get >/dev/null; then
        say "Install what provides them with your system's package manager, then run this again."
        exit 1
    fi
    if [ "$(id -u)" = 0 ]; then
        as_root="env"
    elif command -v sudo >/dev/null; then
        as_root="sudo"
        say "Installing system packages needs root, so sudo may ask for your password."
    else
        say "Ask somebody with root to run: apt-get install --no-install-recommends $*"
        exit 1
    fi
    say "Running: apt-get install --no-install-recommends $*"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if command -v "$candidate" >/dev/null && "$candidate" -c "$oldest" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    say "No Python of version 3.11 or newer was found; install one, or name it: make PYTHON=/path/to/python3"
    exit 1
}

if ! .venv/bin/python -c "$oldest; import pip" 2>/dev/null; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$python cannot make virtual environments: its venv module is packaged apart."
        install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    say "Making .venv with $("$python" --version)."
    "$python" -m venv .venv
fi

case $purpose in
    run) wanted=. ;;
    test) wanted='.[test]' ;;
    build) wanted='.[build]' ;;
    *) say "Unknown purpose '$purpose'; it is one of run, test, build."; exit 2 ;;
esac
say "Installing what '$purpose' needs into .venv (a download of some hundred MB the first time)."
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$wanted"
# Read as text, the program takes a quarter of a second longer to start; pip compiles only what it copies.
.venv/bin/python -m compileall -q main.py explorer

[ "$(uname -s)" = Linux ] || exit 0

# What the loader cannot find is what is missing, whatever the packages are called on this system.
qt=$(.venv/bin/python -c 'import importlib.util as i; print(*i.find_spec("PySide6").submodule_search_locations)')
missing=$(ldd "$qt"/Qt/plugins/platforms/libqxcb.so "$qt"/Qt/lib/libQt6Widgets.so.6 "$qt"/Qt/lib/libQt6Svg.so.6 |
    awk '/not found/ { print $1 }' | sort -u)
packages=""
if [ -n "$missing" ]; then
    say "Qt misses system libraries:" $missing
    packages=$qt_packages
fi
has_font() { # the name of a file, as find reads it
    [ -n "$(find /usr/share/fonts /usr/local/share/fonts "$HOME/.fonts" "$HOME/.local/share/fonts" \
        -name "$1" -print -quit 2>/dev/null)" ]
}
if ! has_font '*.[ot]t[fc]'; then
    say "There is no font on this system."
    packages="$packages fonts-dejavu-core"
fi
if [ "$purpose" = test ]; then
    # As tests/fonts.py: words have another width in each of them.
    for font in DejaVuSans:fonts-dejavu-core NimbusSans-Regular:fonts-urw-base35 \
        NotoSans-Regular:fonts-noto-core; do
        if ! has_font "${font%:*}.[ot]tf"; then
            say "The tests of the layout need the font ${font%:*}."
            packages="$packages ${font#*:}"
        fi
    done
    for program in Xvfb xdotool; do
        if ! command -v $program >/dev/null; then
            say "The tests drive a real window on a virtual display and need $program."
            packages="$packages $(echo $program | tr '[:upper:]' '[:lower:]')"
        fi
    done
fi
if [ -n "$packages" ]; then
    install_packages $packages
fi
