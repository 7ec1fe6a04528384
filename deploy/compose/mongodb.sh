#!/bin/bash
# The database as a replica set of one with access control: its members prove themselves by a key, in a file that only
# they may read, so the secret is copied. What follows is the image's own start, which makes the administrator.
set -eu
umask 077
base64 -w 0 </run/secrets/mongodb-key >/tmp/key
exec docker-entrypoint.sh mongod --replSet rs0 --keyFile /tmp/key --bind_ip_all --wiredTigerCacheSizeGB "${CACHE_GB:-0.5}"
