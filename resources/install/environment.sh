#!/bin/sh
# Make .venv ready for one purpose, from the top folder of a checkout: `environment.sh PURPOSE`, with
# run, test, build, packages or package; the last three also as build-cuda, packages-cuda, package-cuda.
#
# First of all it asks for the programs and fonts that the purpose needs, so that nothing is found
# missing after minutes of work. Then it finds a Python of 3.11 or newer, makes the virtual environment
# and installs the program into it (editable, with the extras of that purpose), and at last asks the
# loader what Qt still misses. Only where something is missing, and only on Debian, Ubuntu and their
# kin, it installs system packages, and says so first.
set -eu

purposes="run, test, build, packages, package; the last three also with -cuda behind them"
purpose=${1:?one of $purposes}
oldest='import sys; sys.exit(sys.version_info < (3, 11))'
qt_packages="libegl1 libgl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libfreetype6 libxkbcommon0
 libxkbcommon-x11-0 libx11-6 libx11-xcb1 libxcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0
 libxcb-keysyms1 libxcb-randr0 libxcb-render0 libxcb-render-util0 libxcb-shape0 libxcb-shm0
 libxcb-sync1 libxcb-util1 libxcb-xfixes0 libxcb-xkb1"

# program:Debian package, where the names differ
of_tests="Xvfb:xvfb xdotool"
of_builds="git objdump:binutils"
of_packages="dpkg-deb:dpkg tar xz:xz-utils"
of_proof="debootstrap chroot:coreutils mount umount:mount setpriv:util-linux"

case $purpose in
    run) extras="" programs="" ;;
    test) extras="test" programs=$of_tests ;;
    build) extras="build" programs=$of_builds ;;
    build-cuda) extras="build,cuda" programs=$of_builds ;;
    packages) extras="build" programs="$of_builds $of_packages" ;;
    packages-cuda) extras="build,cuda" programs="$of_builds $of_packages" ;;
    package) extras="build,test" programs="$of_builds $of_packages $of_proof $of_tests" ;;
    package-cuda) extras="build,cuda,test" programs="$of_builds $of_packages $of_proof $of_tests" ;;
    *) printf '%s\n' "Unknown purpose '$purpose'; it is one of $purposes." >&2; exit 2 ;;
esac

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

has_program() { # its name; the folders of root's programs are not in everybody's PATH
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null
}

has_font() { # the name of a file, as find reads it
    [ -n "$(find /usr/share/fonts /usr/local/share/fonts "$HOME/.fonts" "$HOME/.local/share/fonts" \
        -name "$1" -print -quit 2>/dev/null)" ]
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

install_for_python() { # what pip installs
    log=.venv/pip.log
    downloads=$(mktemp -d)
    begun=$(date +%s)
    : >"$log"
    sh resources/install/progress.sh "$log" "$downloads" "$$" &
    progress=$!
    trap 'kill $progress 2>/dev/null || :; rm -rf "$downloads"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    ended=0
    TMPDIR=$downloads .venv/bin/python -m pip install --no-input --progress-bar off \
        --disable-pip-version-check --editable "$1" >"$log" 2>&1 || ended=$?
    kill $progress 2>/dev/null || :
    wait $progress 2>/dev/null || :
    rm -rf "$downloads"
    trap - EXIT INT TERM
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
    if [ "$ended" != 0 ]; then
        say "pip could not install what '$purpose' needs. The last it said, of $log:"
        tail -n 12 "$log" | sed 's/^/    /' >&2
        exit 1
    fi
    say "Installed after $(($(date +%s) - begun)) s."
}

# What the purpose needs of the system.
packages=""
if [ "$(uname -s)" = Linux ]; then
    for program in $programs; do
        if ! has_program "${program%:*}"; then
            say "'$purpose' needs the program ${program%:*}, which is not installed."
            packages="$packages ${program#*:}"
        fi
    done
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
    fi
fi
case $purpose in
    package | package-cuda)
        if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
            say "Proving a package needs root, for a clean system of its own: run this as root;" \
                "'make packages' makes the packages without the proof."
            exit 1
        fi ;;
esac
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086  # one word each
    install_packages $packages
fi

if ! .venv/bin/python -c "$oldest; import pip" 2>/dev/null; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        say "$python cannot make virtual environments: its venv module is packaged apart."
        install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    say "Making .venv with $("$python" --version)."
    "$python" -m venv .venv
fi

say "Installing what '$purpose' needs into .venv (a download of some hundred MB the first time)."
install_for_python ".${extras:+[$extras]}"
# Read as text, the program takes a quarter of a second longer to start; pip compiles only what it copies.
.venv/bin/python -m compileall -q main.py explorer

[ "$(uname -s)" = Linux ] || exit 0

# What the loader cannot find is what is missing, whatever the packages are called on this system.
qt=$(.venv/bin/python -c 'import importlib.util as i; print(*i.find_spec("PySide6").submodule_search_locations)')
missing=$(ldd "$qt"/Qt/plugins/platforms/libqxcb.so "$qt"/Qt/lib/libQt6Widgets.so.6 "$qt"/Qt/lib/libQt6Svg.so.6 |
    awk '/not found/ { print $1 }' | sort -u)
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086
    say "Qt misses system libraries:" $missing
    # shellcheck disable=SC2086
    install_packages $qt_packages
fi
