#!/bin/sh
# A docker daemon of one's own: all that it writes is below DIR, and it knows no network.
#
#   dockerd.sh start DIR     afterwards `DIR/docker ARGUMENT...` talks to it
#   dockerd.sh stop DIR      ends it and removes DIR
#
# Needs root, and Debian's docker.io (from Debian 13 on docker-cli too).
. "$(dirname "$0")/common.sh"

answers() { "$folder/docker" version > /dev/null 2>&1; }

case "${1-} ${2:+DIR}" in
"start DIR")
    PATH=$PATH:/usr/sbin:/sbin
    need dockerd docker.io
    need docker "docker.io, or docker-cli where there is one"
    new_folder "$2"
    touch "started-by-$tool"
    # The classic builder: BuildKit is a plugin of its own, and wants more of the machine.
    cat > docker <<EOF
#!/bin/sh
export DOCKER_BUILDKIT=0 DOCKER_CONFIG='$folder/config' DOCKER_HOST='unix://$folder/docker.sock'
exec docker "\$@"
EOF
    chmod 755 docker
    # Where overlayfs does not work (in containers, mostly), dockerd itself turns to vfs.
    serve answers dockerd --host "unix://$folder/docker.sock" --data-root "$folder/data" \
        --exec-root "$folder/exec" --pidfile "$folder/dockerd.pid" \
        --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
    ;;
"stop DIR")
    own_folder "$2"
    end
    remove_folder
    ;;
*) fail "usage: $tool.sh start|stop DIR" ;;
esac
