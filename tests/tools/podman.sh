#!/bin/sh
# A podman of one's own: images and containers are below DIR. There is no daemon.
#
#   podman.sh start DIR      afterwards `DIR/podman ARGUMENT...` works there
#   podman.sh stop DIR       removes DIR
#
# Needs root, and Debian's podman and runc.
. "$(dirname "$0")/common.sh"

case "${1-} ${2:+DIR}" in
"start DIR")
    PATH=$PATH:/usr/sbin:/sbin
    need podman podman
    need runc runc
    new_folder "$2"
    touch "started-by-$tool"
    # runc, since crun refuses a machine with both kinds of cgroups. The limits are podman's own but
    # lower: raising one's hard limits takes a capability that root in a sandbox may not have.
    cat > containers.conf <<EOF
[containers]
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
EOF
    cat > podman <<EOF
#!/bin/sh
export CONTAINERS_CONF='$folder/containers.conf'
exec podman --root '$folder/root' --runroot '$folder/run' --tmpdir '$folder/tmp' --storage-driver vfs "\$@"
EOF
    chmod 755 podman
    ./podman info > log 2>&1 || { cat log >&2; fail "podman does not work; above is what it says"; }
    ;;
"stop DIR")
    own_folder "$2"
    ./podman rm --all --force > log 2>&1 || { cat log >&2; fail "podman does not end its containers"; }
    remove_folder
    ;;
*) fail "usage: $tool.sh start|stop DIR" ;;
esac
