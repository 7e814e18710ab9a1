# shellcheck shell=bash
# The compose project, its folders, and what the containers of functions leave behind. Needs docker.sh.
#
#   THAW_DATA     where the cluster keeps its data   /var/lib/thaw
#   THAW_PROJECT  the compose project's name         thaw

export THAW_DATA=${THAW_DATA:-/var/lib/thaw}
THAW_PROJECT=${THAW_PROJECT:-thaw}
CLUSTER_NODES=(a b c)
# Of the services' and Prometheus' user in their images.
CLUSTER_UID=64700
# A unix socket below a node's folder, `node-a/slots/<16 hex>/iofs/<name>.sock`, must stay under 108 bytes.
CLUSTER_DATA_MAX=50

cluster_check_data_dir() {
  if [[ $THAW_DATA != /* || $THAW_DATA == / || $THAW_DATA == */../* || $THAW_DATA == *[[:space:]:,]* ]]; then
    die "THAW_DATA is '$THAW_DATA': give an absolute path of its own, without spaces, commas and colons"
  fi
  if ((${#THAW_DATA} > CLUSTER_DATA_MAX)); then
    die "THAW_DATA is '$THAW_DATA', ${#THAW_DATA} bytes long: at most $CLUSTER_DATA_MAX, or the sockets in it can't be named"
  fi
}

# Folders and the cluster token; what is there is kept.
cluster_make_folders() {
  local node token=$THAW_DATA/cluster-token
  cluster_make_folder "$THAW_DATA" 0
  for node in "${CLUSTER_NODES[@]}"; do cluster_make_folder "$THAW_DATA/node-$node" 0; done
  cluster_make_folder "$THAW_DATA/scheduler" "$CLUSTER_UID"
  cluster_make_folder "$THAW_DATA/prometheus" "$CLUSTER_UID"
  if [[ ! -s $token ]]; then
    (
      umask 077
      head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$token.new"
      chown "$CLUSTER_UID:$CLUSTER_UID" "$token.new"
      mv "$token.new" "$token"
    )
    echo "made the cluster token $token"
  fi
}

# cluster_make_folder PATH OWNER: one that is there stays as its service has made it.
cluster_make_folder() {
  if [[ ! -d $1 ]]; then install -d -m 0700 -o "$2" -g "$2" "$1"; fi
}

# What three nodes on one host may give to functions, each: a quarter of the memory that is free now, so that
# the rest of the host keeps a quarter.
cluster_node_memory() {
  local available_kib
  available_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
  printf '%s' $((available_kib * 256))
}

# Sets the array COMPOSE, with all that selects this cluster.
cluster_compose() {
  local tool
  tool=$(docker_compose_command) || die "there is neither 'docker compose' nor 'docker-compose': run deploy/up"
  read -ra COMPOSE <<<"$tool"
  COMPOSE+=(-p "$THAW_PROJECT" -f "$THAW_ROOT/deploy/compose.yaml")
  if [[ -n ${THAW_PUBLISH:-} ]]; then COMPOSE+=(-f "$THAW_ROOT/deploy/tls.compose.yaml"); fi
}

# The containers of functions with a mount from below FOLDER-PREFIX, running or not: the agents make them, so
# compose does not know them.
cluster_function_containers() {
  local ids prefix=$1
  ids=$(docker ps -aq)
  if [[ -z $ids ]]; then return 0; fi
  # shellcheck disable=SC2086  # one word per id
  docker inspect -f '{{.ID}}|{{index .Config.Labels "com.docker.compose.project"}}|{{range .Mounts}}{{.Source}}|{{end}}' $ids 2>/dev/null |
    awk -F'|' -v below="$prefix" '$2 == "" { for (i = 3; i <= NF; i++) if (index($i, below) == 1) { print $1; break } }'
}

cluster_remove_function_containers() {
  local ids
  mapfile -t ids < <(cluster_function_containers "$1")
  if ((${#ids[@]} > 0)); then
    docker rm -f -v "${ids[@]}" >/dev/null
    echo "removed ${#ids[@]} containers of functions"
  fi
}

# cluster_http PORT PATH: prints the body of http://127.0.0.1:PORT/PATH; fails unless the status is 200. In a process of its
# own, without SIGPIPE: whoever resets the connection under our request must not end the caller.
cluster_http() (
  local version status line
  trap '' PIPE
  { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" 2>/dev/null >&3 || return 1
  IFS=' ' read -r -t 5 version status _ <&3 || return 1
  [[ $version == HTTP/* && $status == 200 ]] || return 1
  while IFS= read -r -t 5 line <&3 && [[ $line != $'\r' ]]; do :; done
  timeout 5 cat <&3
)

# One deploy/up, deploy/down or deploy/join at a time.
cluster_take_lock() {
  mkdir -p "$THAW_OUT"
  exec 9>"$THAW_OUT/lock"
  flock -n 9 || {
    say "waiting for another deploy/up or deploy/down to end"
    flock 9
  }
}

# What the first deploy/up chose is kept for the next ones, unless they say otherwise.
cluster_load_settings() {
  local settings=$THAW_DATA/cluster.env name value
  if [[ ! -r $settings ]]; then return 0; fi
  while IFS='=' read -r name value; do
    case $name in
      THAW_PUBLISH | THAW_NODE_MEMORY) if [[ -z ${!name+set} ]]; then export "$name=$value"; fi ;;
    esac
  done <"$settings"
}

cluster_save_settings() {
  printf 'THAW_PUBLISH=%s\nTHAW_NODE_MEMORY=%s\n' "${THAW_PUBLISH:-}" "$THAW_NODE_MEMORY" >"$THAW_DATA/cluster.env"
}
