#!/bin/sh
# Say how far pip is while it is silent: `progress.sh LOG FOLDER PID`, until it is ended or PID is gone.
#
# LOG is what pip has written so far, FOLDER is where it keeps what it downloads. On a terminal one line
# is written over every second: the time so far, and how much of the present file is here, or how many
# of the packages are installed. Elsewhere there is a plain line for every large file and for what
# follows, and no more.
set -eu

log=$1 folder=$2 owner=$3
begun=$(date +%s)
terminal=""
[ ! -t 2 ] || terminal=yes
width=$( (stty size <&2) 2>/dev/null | awk '{ print $2 }')
[ "${width:-0}" -gt 20 ] || width=80

installed() { # how many distributions stand in the environment
    find .venv/lib -maxdepth 3 -name '*.dist-info' 2>/dev/null | wc -l
}

# What pip does just now, as "WHAT|FILE|NAME|MB", taken from the last line that says so.
state() {
    awk '
        / *Downloading / {
            file = $2; sub(/.*\//, "", file)
            name = file; sub(/-(cp|py|pp)[0-9].*$/, "", name); sub(/\.(tar\.gz|zip|whl)$/, "", name)
            size = $3; sub(/^\(/, "", size)
            unit = $4; sub(/\).*/, "", unit)
            if (unit == "kB") size /= 1000
            else if (unit != "MB") size = 0
            size = sprintf("%.1f", size)
            if (file !~ /\.metadata$/) said = "download|" file "|" name "|" size
        }
        /^Collecting / { if (said !~ /^download/) said = "look||" $2 "|" }
        /^Installing collected packages:/ { said = "install|||" (NF - 3) }
        END { print said }
    ' "$log"
}

here() { # MB of a file that is being downloaded
    find "$folder" -name "$1" -exec wc -c {} + 2>/dev/null | awk 'END { printf "%.1f", $1 / 1e6 }'
}

before=""
had=$(installed)
while sleep 1 && kill -0 "$owner" 2>/dev/null; do
    said=$(state)
    what=${said%%|*} rest=${said#*|}
    file=${rest%%|*} rest=${rest#*|}
    name=${rest%%|*} amount=${rest#*|}
    case $what in
        download) words="downloading $name" ;;
        install) words="installing $amount packages" ;;
        look) words="looking for ${name%%[<>=!~;[(]*}" ;;
        *) words="looking at what is here" ;;
    esac
    if [ -n "$terminal" ]; then
        case $what in
            download) words="$words, $(here "$file") of $amount MB" ;;
            install) words="installing packages, $(($(installed) - had)) of $amount" ;;
        esac
        printf "\r\033[K%.$((width - 1))s" "  $(($(date +%s) - begun)) s: $words" >&2
    elif [ "$words" != "$before" ]; then
        case $what in
            download) [ "${amount%%.*}" -lt 5 ] || printf '  %s (%s MB)\n' "$words" "$amount" >&2 ;;
            install) printf '  %s\n' "$words" >&2 ;;
        esac
        before=$words
    fi
done
