#!/bin/sh
# Runs the README's commands in a bare Debian that is made for it: what a newcomer's machine lacks is lacking there too.
#
#     tests/fresh.sh [demo|tests]
#
# demo: `make demo` until a closed candle is on the hub and in MongoDB, then its end. tests: that, then .ci/run.
# $FRESH_ROOT is a bare root that is there already and used again; without it one is made and removed. It takes about 1 GB.
# The packages come over the network; the demo itself runs without one, in a network namespace with nothing but loopback.
set -eu
cd "$(dirname "$0")/.."
steps=${1:-demo}
suite=bookworm

no() {
    echo "make fresh: $1" >&2
    exit 1
}
[ "$(uname -s)" = Linux ] || no "it needs Linux"
[ "$(id -u)" = 0 ] || no "it needs root, for chroot and mounts"
command -v unshare >/dev/null || no "unshare is missing (Debian, Ubuntu: apt-get install util-linux)"
unshare --mount --net true 2>/dev/null || no "this machine allows no namespaces"

root=${FRESH_ROOT:-}
if [ -z "$root" ]; then
    command -v debootstrap >/dev/null || no "debootstrap is missing: apt-get install debootstrap"
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    # the mirror that apt uses here; debootstrap's own where apt says nothing
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' 2>/dev/null | head -1)
    echo "make fresh: making a bare Debian in $root"
    debootstrap --variant=minbase --include=python3,python3-venv,make "$suite" "$root" $mirror >"$root.log" 2>&1 ||
        no "debootstrap failed, see $root.log"
    rm -f "$root.log"
fi
ls "$root"/usr/lib/*/libcurl.so* 2>/dev/null && no "$root has a libcurl, so it is not bare"

# what this machine's network needs is no part of the trial: names, certificates, settings of pip and npm
mkdir -p "$root/opt/marketflow" "$root/etc/ssl/certs" "$root/root"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf "${HOME:-/root}/.npmrc"; do
    [ ! -e "$file" ] || cp "$file" "$root$file"
done
git ls-files -z | xargs -0 tar -cf - | tar -xf - -C "$root/opt/marketflow"
grep -q '^registry' "$root/root/.npmrc" 2>/dev/null || {
    registry=${npm_config_registry:-$(npm config get registry 2>/dev/null || true)}
    [ -z "$registry" ] || echo "registry=$registry" >>"$root/root/.npmrc"
}

inside() {
    unshare --mount --pid --fork --kill-child "$@" sh -c '
        mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/dev/shm" 2>/dev/null
        mkdir -p "$0/dev/pts" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts"
        exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
            ${PIP_CERT:+PIP_CERT=$PIP_CERT} ${HTTPS_PROXY:+HTTPS_PROXY=$HTTPS_PROXY} \
            ${PIP_INDEX_URL:+PIP_INDEX_URL=$PIP_INDEX_URL} \
            sh -c "cd /opt/marketflow && $1"' "$root" "$command"
}

echo "make fresh: what make demo sets up, with the network"
command='make dashboard'
inside

echo "make fresh: make demo, without a network"
cat >"$root/opt/marketflow/.fresh" <<'EOF'
python3 - <<'EOS'
import fcntl, socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:  # `ip link set lo up`, without ip
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))
EOS
setsid make demo >demo.log 2>&1 &
demo=$!
code=0
.venv/bin/python -m tests.closed_candle ws://127.0.0.1:8765/ws mongodb://127.0.0.1:27117 300 || code=1
kill -TERM -$demo
wait $demo || true
[ $code = 0 ] || tail -40 demo.log
head -12 demo.log
exit $code
EOF
command='sh .fresh'
inside --net
echo "make fresh: a closed candle was on the hub and in MongoDB"

if [ "$steps" = tests ]; then
    echo "make fresh: .ci/run, with the network"
    command='apt-get update -q && apt-get install -y -q --no-install-recommends git && git init -q . && bash .ci/run'
    inside
fi
