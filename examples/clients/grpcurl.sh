#!/bin/sh
# Looks at a Thaw gateway and calls a function with grpcurl (https://github.com/fullstorydev/grpcurl): the
# gateway has reflection, so no .proto file is needed. Needs base64.
#
#   ./grpcurl.sh demo/fndemo Ann            calls a function
#   THAW_SERVER=host:7000 ./grpcurl.sh …    on another gateway
#   THAW_TLS_CA=ca.pem ./grpcurl.sh …       over TLS
set -eu

server=${THAW_SERVER:-127.0.0.1:7000}
function=${1:-demo/fndemo}
body=${2:-}

if [ -n "${THAW_TLS_CA:-}" ]; then security="-cacert $THAW_TLS_CA"; else security=-plaintext; fi
# $security is one or two words.
# shellcheck disable=SC2086
curl_grpc() { grpcurl $security -max-time 60 "$@"; }

echo "# what the gateway offers"
curl_grpc "$server" list
curl_grpc "$server" describe thaw.gateway.v1.Invoker.Invoke

echo "# whether it serves (the standard health service)"
curl_grpc "$server" grpc.health.v1.Health/Check

echo "# nodes"
curl_grpc "$server" thaw.gateway.v1.Admin/ListNodes

echo "# a call; bytes are base64 in JSON"
encoded=$(printf %s "$body" | base64 | tr -d '\n')
# Pinning, where the operator allows it: -H 'thaw-node: b'
curl_grpc -d "{\"function\":{\"path\":\"$function\"},\"body\":\"$encoded\",\"content_type\":\"text/plain\"}" \
  "$server" thaw.gateway.v1.Invoker/Invoke
