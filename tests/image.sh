#!/bin/sh
# Builds the image of deploy/Containerfile and runs the demo in it, as it is meant to run: no rights, a read-only root.
#
#     tests/image.sh
#
# It needs Linux, root, buildah, runc, and debootstrap with a mirror of Debian for the base, or an image or a folder with a
# root as $PYTHON_IMAGE or $BASE_ROOT. Nothing is left of it but the image's bill of materials where $SBOM names a file.
# The packages come over the network; the demo runs in a network namespace with nothing but loopback.
set -eu
cd "$(dirname "$0")/.."
suite=bookworm

no() {
    echo "make image: $1" >&2
    exit 1
}
say() { echo "make image: $1"; }
[ "$(uname -s)" = Linux ] || no "it needs Linux"
[ "$(id -u)" = 0 ] || no "it needs root, for a base and a container of its own"
for tool in buildah runc python3; do
    command -v $tool >/dev/null || no "$tool is missing (Debian, Ubuntu: apt-get install buildah runc python3)"
done
unshare --mount --net --pid --fork true 2>/dev/null || no "this machine allows no namespaces"
[ -n "${PYTHON_IMAGE:-}${BASE_ROOT:-}" ] || command -v debootstrap >/dev/null ||
    no "debootstrap is missing, and no base is named: apt-get install debootstrap, or set PYTHON_IMAGE or BASE_ROOT"

work=$(mktemp -d)
name=marketflow-$$
build() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
clean() {
    runc delete --force "$name" >/dev/null 2>&1 || true
    umount "$work/bundle/rootfs" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

base=${PYTHON_IMAGE:-}
if [ -z "$base" ]; then
    root=${BASE_ROOT:-}
    if [ -z "$root" ]; then
        root=$work/base
        # the mirror that apt uses here; debootstrap's own where apt says nothing
        mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $suite" 2>/dev/null | head -1)
        say "making a bare Debian as the base"
        debootstrap --variant=minbase --include=python3,python3-venv "$suite" "$root" $mirror >"$work/debootstrap.log" 2>&1 ||
            { tail -5 "$work/debootstrap.log"; no "debootstrap failed"; }
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
    fi
    base=localhost/marketflow-base
    container=$(build from scratch)
    build add --quiet "$container" "$root" / >/dev/null
    build commit --quiet --rm "$container" "$base" >/dev/null
fi

# what this machine's network needs is in no layer: its settings of pip, its certificates
python3 - >"$work/pip.conf" <<'EOF'
import configparser, os, sys
found = configparser.RawConfigParser(strict=False)
home = os.path.expanduser("~")
found.read(["/etc/pip.conf", os.environ.get("XDG_CONFIG_HOME", f"{home}/.config") + "/pip/pip.conf", f"{home}/.pip/pip.conf"])
found.has_section("global") or found.add_section("global")
for name in ("index-url", "extra-index-url", "trusted-host", "timeout", "retries"):
    if value := os.environ.get("PIP_" + name.upper().replace("-", "_")):
        found.set("global", name, value)
found.remove_option("global", "find-links")  # a folder of this machine
found.set("global", "cert", "/etc/ssl/certs/ca-certificates.crt")
found.write(sys.stdout)
EOF
certificates=/etc/ssl/certs/ca-certificates.crt
[ -s $certificates ] || no "$certificates is missing (Debian, Ubuntu: apt-get install ca-certificates)"
set -- --secret "id=certificates,src=$certificates"
for variable in HTTPS_PROXY HTTP_PROXY NO_PROXY; do
    eval "value=\${$variable:-}"
    [ -z "$value" ] || set -- "$@" --build-arg "$variable=$value"
done
say "building deploy/Containerfile on $base"
began=$(date +%s)
build build --quiet --isolation chroot --network host --format docker --build-arg "PYTHON_IMAGE=$base" --build-arg "BUILD_IMAGE=$base" \
    --secret "id=pip,src=$work/pip.conf" "$@" -f deploy/Containerfile -t localhost/marketflow . \
    >"$work/build.log" 2>&1 || { tail -30 "$work/build.log"; no "the build failed"; }
say "built within $(($(date +%s) - began)) s"

container=$(build from localhost/marketflow)
rootfs=$(build mount "$container")
build inspect --type image localhost/marketflow >"$work/image.json"
say "the image has $(du -sm --exclude=./proc "$rootfs" | cut -f1) MB, $(du -sm "$rootfs/opt/marketflow" | cut -f1) of them ours"
[ -z "${SBOM:-}" ] || cp "$rootfs/usr/share/marketflow/sbom.json" "$SBOM"

mkdir -p "$work/bundle/rootfs" "$work/data"
mount --bind "$rootfs" "$work/bundle/rootfs"
chown 10001:10001 "$work/data"
python3 tests/image_bundle.py "$work/image.json" "$work/data" demo >"$work/bundle/config.json"

say "running the demo: user 10001, no capabilities, read-only root, loopback alone"
runc run --bundle "$work/bundle" --detach "$name" >"$work/demo.log" 2>&1 ||
    { cat "$work/demo.log"; no "the container does not start"; }
health=$(python3 tests/image_bundle.py --health "$work/image.json")
began=$(date +%s)
until runc exec "$name" $health >"$work/health.log" 2>&1; do
    if [ $(($(date +%s) - began)) -gt 300 ]; then
        tail -20 "$work/demo.log" "$work/health.log"
        no "the demo is not ready after 300 s"
    fi
    sleep 1
done
say "$health: $(cat "$work/health.log") (after $(($(date +%s) - began)) s)"
for question in live flow; do
    runc exec "$name" marketflow health $question >/dev/null || no "marketflow health $question says no"
done
! runc exec "$name" sh -c 'echo x >/usr/x || echo x >/opt/marketflow/x || echo x >/etc/x' 2>/dev/null ||
    no "the root can be written"
runc exec "$name" sh -c 'grep -q "^CapEff:.0*$" /proc/self/status && grep -q "^NoNewPrivs:.1" /proc/self/status' ||
    no "the demo has rights"
runc exec "$name" python -c 'import os; raise SystemExit(os.getuid() != 10001)' || no "the demo runs as another user"
pid=$(runc state "$name" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')

began=$(date +%s%N)
runc kill "$name" TERM
while kill -0 "$pid" 2>/dev/null && [ "$(runc state "$name" | grep -c '"status": "running"')" = 1 ]; do
    if [ $((($(date +%s%N) - began) / 1000000)) -gt 10000 ]; then
        tail -20 "$work/demo.log"
        no "10 s after SIGTERM the demo still runs"
    fi
    sleep 0.1
done
say "SIGTERM ended it within $((($(date +%s%N) - began) / 1000000)) ms"
say "the image works"
