#!/usr/bin/env bash
# Runs an image as its own configuration says, without a daemon: its user, environment, entry point and
# command, in a mount namespace whose root is read-only and whose /tmp is empty. It has the host's network.
#   deploy/run_image.sh IMAGE [NAME=VALUE | HOST_FOLDER:FOLDER]... [-- ARGUMENT...]
# It becomes the container's first process, so signals reach that. Root and buildah are needed.
# With NO_ENTRYPOINT set, the arguments are the whole command; RUN_AS=UID:GID is another user.
set -euo pipefail

image=$1
shift
settings=() folders=()
while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
    case $1 in
        /*:/*) folders+=("$1") ;;
        *=*) settings+=("$1") ;;
        *) echo "$1 is neither NAME=VALUE nor FOLDER:FOLDER" >&2 && exit 2 ;;
    esac
    shift
done
[ "${1:-}" = -- ] && shift

container=$(buildah from --pull-never "$image")
root=$(buildah mount "$container")
readarray -d '' -t configured < <(buildah inspect --type image "$image" | python3 -c '
import json, os, sys

config = json.load(sys.stdin)["OCIv1"]["config"]
entrypoint = [] if os.environ.get("NO_ENTRYPOINT") else config.get("Entrypoint") or []
command = entrypoint + (sys.argv[1:] or config.get("Cmd", []))
environment = config.get("Env", [])
for word in (config.get("User", "0:0"), config.get("WorkingDir", "/"), str(len(environment)), *environment, *command):
    sys.stdout.write(word + "\0")
' "$@")
user=${RUN_AS:-${configured[0]}} folder=${configured[1]} count=${configured[2]}
environment=("${configured[@]:3:count}" "${settings[@]}")
command=("${configured[@]:3+count}")

# shellcheck disable=SC2016 # the inner shell's own variables
exec unshare --mount --propagation private bash -euc '
    root=$1 user=$2 folder=$3 volumes=$4
    shift 4
    mount --bind "$root" "$root"
    mkdir -p "$root/tmp" "$root/proc" "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    while read -r from to; do
        [ -n "$from" ] || continue
        mkdir -p "$root$to"
        mount --bind "$from" "$root$to"
    done <<< "$volumes"
    for file in /etc/hosts /etc/resolv.conf; do
        [ -e "$root$file" ] || touch "$root$file"
        mount --bind "$file" "$root$file"
    done
    mount -o remount,ro,bind "$root"
    exec chroot --userspec="$user" --groups= "$root" /usr/bin/env --ignore-environment --chdir="$folder" "$@"
' sh "$root" "$user" "$folder" "$(printf '%s\n' "${folders[@]/:/ }")" "${environment[@]}" "${command[@]}"
