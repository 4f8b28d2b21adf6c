# What the scripts beside this file share; sourced by them.
set -eu
tool=$(basename "$0" .sh)

fail() {
    echo "$tool.sh: $*" >&2
    exit 1
}

# need PROGRAM PACKAGE
need() {
    command -v "$1" > /dev/null || fail "there is no program $1: apt-get install $2"
}

# Makes the folder, which must be new: `stop` removes it with all that is in it.
new_folder() {
    [ ! -e "$1" ] || [ -z "$(ls -A "$1")" ] || fail "$1 is not empty"
    mkdir -p "$1"
    cd "$1"
    folder=$PWD
}

# A folder that `start` made, and no other.
own_folder() {
    [ -e "$1/started-by-$tool" ] || fail "$1 is no folder that '$tool.sh start' made"
    cd "$1"
    folder=$PWD
}

# A process that ended stays a zombie for as long as nobody asks how.
alive() {
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2> /dev/null) && [ "$state" != Z ]
}

# until_true SECONDS COMMAND...: polls.
until_true() {
    tries=$(($1 * 10))
    shift
    while ! "$@"; do
        [ "$tries" -gt 0 ] || return 1
        tries=$((tries - 1))
        sleep 0.1
    done
}

# serve READY PROGRAM ARGUMENT...: starts a daemon, and waits until the command READY succeeds.
serve() {
    ready=$1
    shift
    setsid "$@" > "$folder/log" 2>&1 < /dev/null &
    pid=$!
    echo "$pid" > "$folder/pid"
    ready_or_dead() { "$ready" || ! alive "$pid"; }
    if ! until_true 60 ready_or_dead || ! alive "$pid"; then
        tail -n 30 "$folder/log" >&2
        end
        fail "$1 does not start; above is the end of its log"
    fi
}

# Ends what `serve` started.
end() {
    pid=$(cat "$folder/pid")
    gone() { ! alive "$pid"; }
    if ! gone; then
        kill "$pid" || gone
        until_true 60 gone || kill -9 "$pid"
    fi
}

remove_folder() {
    # The deepest mount first.
    awk -v "below=$folder/" 'index($2, below) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do
        umount "$mounted"
    done
    cd /
    rm -rf "$folder"
}
