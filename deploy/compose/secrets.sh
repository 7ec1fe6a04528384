#!/bin/sh
# Makes the secrets of compose.yaml that are not there yet, in the folder `secrets` beside it. Only the owner may enter
# that folder; the files themselves can be read, since the processes in the containers are other users.
set -eu
cd "$(dirname "$0")/.."
mkdir -p -m 0700 secrets
for name in token mongodb-password mongodb-root-password mongodb-key grafana-password; do
    [ -s "secrets/$name" ] || head -c 36 /dev/urandom | base64 | tr '+/' '-_' >"secrets/$name"
    chmod 0444 "secrets/$name"
done
