#!/bin/sh
# A registry of one's own on loopback, with what is pushed to it below DIR.
#
#   registry.sh start DIR [tls]     DIR/address then holds its HOST:PORT. Plain HTTP, and anyone may push;
#                                   with `tls` it has the certificate DIR/cert.pem, and wants the user
#                                   `builder` with the password `secret`
#   registry.sh stop DIR            ends it and removes DIR
#
# Needs Debian's docker-registry; with `tls` also openssl and perl.
. "$(dirname "$0")/common.sh"

# The port is the system's choice, so that any number of them can run.
listens() {
    sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$folder/log" | head -n 1 > "$folder/address"
    [ -s "$folder/address" ]
}

case "${1-} ${2:+DIR}" in
"start DIR")
    need docker-registry docker-registry
    new_folder "$2"
    touch "started-by-$tool"
    cat > config.yml <<EOF
version: 0.1
storage:
  filesystem: { rootdirectory: '$folder/data' }
  delete: { enabled: true }
http:
  addr: 127.0.0.1:0
EOF
    case "${3-}" in
    "") ;;
    tls)
        need openssl openssl
        need perl perl
        openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=localhost" \
            -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -keyout key.pem -out cert.pem 2> log \
            || { cat log >&2; fail "openssl makes no certificate"; }
        # bcrypt is all that the registry takes.
        perl -e 'print "builder:", crypt("secret", "\$2y\$05\$abcdefghijklmnopqrstuu"), "\n"' > htpasswd
        cat >> config.yml <<EOF
  tls: { certificate: '$folder/cert.pem', key: '$folder/key.pem' }
auth:
  htpasswd: { realm: loopback, path: '$folder/htpasswd' }
EOF
        ;;
    *) fail "'$3' is neither nothing nor tls" ;;
    esac
    serve listens docker-registry serve "$folder/config.yml"
    ;;
"stop DIR")
    own_folder "$2"
    end
    remove_folder
    ;;
*) fail "usage: $tool.sh start DIR [tls], $tool.sh stop DIR" ;;
esac
