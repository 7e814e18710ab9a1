# shellcheck shell=bash
# A Docker Engine that answers, and a compose tool. Needs packages.sh.

# The log and the process of an engine that we had to start by hand.
DOCKER_LOG=/var/log/thaw-dockerd.log
DOCKER_PID_FILE=/run/thaw-dockerd.pid
DOCKER_START_SECONDS=60

docker_answers() { timeout 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# within SECONDS REMEDY COMMAND…: runs COMMAND; after so long it is ended, REMEDY is said, and the status is 124.
within() {
  local seconds=$1 remedy=$2 status=0
  shift 2
  # In our own process group, so that a stage that is stopped takes COMMAND with it.
  timeout --foreground --kill-after=10 "$seconds" "$@" || status=$?
  # 137: it did not end by itself when told to.
  if ((status != 124 && status != 137)); then return "$status"; fi
  echo "'$*' was ended after $seconds s: $remedy" >&2
  return 124
}

# compose_run ARG…: the tool of the array COMPOSE with these arguments. THAW_COMPOSE_SECONDS is its limit.
compose_run() {
  within "${THAW_COMPOSE_SECONDS:-300}" \
    "the Docker Engine does not get on; look at 'docker ps' and its log, restart it, and run this again" \
    "${COMPOSE[@]}" "$@"
}

# Prints the compose command; fails when there is none.
docker_compose_command() {
  if timeout 15 docker compose version >/dev/null 2>&1; then
    echo docker compose
  elif command -v docker-compose >/dev/null; then
    echo docker-compose
  else
    return 1
  fi
}

# Installs what is missing of engine, client and compose tool. A machine that has them gets nothing.
docker_install() {
  if ! command -v docker >/dev/null || { ! docker_answers && ! command -v dockerd >/dev/null; }; then
    if [[ -n ${DOCKER_HOST:-} ]]; then
      echo "DOCKER_HOST is $DOCKER_HOST, and no engine answers there: start it, or unset DOCKER_HOST"
      return 1
    fi
    packages_install "${PACKAGES_DOCKER_ENGINE[@]}"
  fi
  if ! command -v docker >/dev/null; then packages_install "${PACKAGES_DOCKER_CLIENT[@]}"; fi
  if ! docker_compose_command >/dev/null; then packages_install "${PACKAGES_COMPOSE[@]}"; fi
  echo "docker $(docker --version), compose tool: $(docker_compose_command)"
}

# Starts an engine if none answers: through systemd where it runs, by hand elsewhere.
docker_start() {
  if docker_answers; then
    echo "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
    return 0
  fi
  if ((EUID != 0)); then
    echo "no Docker Engine answers, and starting one needs root: run this again as root"
    return 1
  fi
  if [[ -d /run/systemd/system ]]; then
    systemctl start docker || {
      systemctl --no-pager status docker || true
      echo "systemd could not start docker: see journalctl -u docker"
      return 1
    }
    docker_wait "journalctl -u docker"
    return
  fi
  docker_start_by_hand "$PATH" && return 0
  # Kernels without the nft back end refuse Debian's default iptables; the legacy one may work.
  if grep -qi iptables "$DOCKER_LOG" && [[ -x /usr/sbin/iptables-legacy ]]; then
    echo "trying again with iptables-legacy"
    local shims=/run/thaw-iptables name
    mkdir -p "$shims"
    for name in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
      ln -sfn "/usr/sbin/${name/tables/tables-legacy}" "$shims/$name"
    done
    docker_start_by_hand "$shims:$PATH" && return 0
  fi
  echo "dockerd did not start; the end of $DOCKER_LOG:"
  tail -n 20 "$DOCKER_LOG"
  return 1
}

docker_start_by_hand() {
  docker_mount_cgroups
  # A pid file left behind by a crash makes dockerd refuse.
  local pid_file=/var/run/docker.pid
  if [[ -f $pid_file ]] && ! kill -0 "$(<"$pid_file")" 2>/dev/null; then rm -f "$pid_file"; fi
  echo "starting dockerd (log: $DOCKER_LOG)"
  # A session of its own: it outlives this script and gets none of its signals or locks.
  rm -f "$DOCKER_PID_FILE"
  # shellcheck disable=SC2016  # the inner shell's words
  PATH=$1 setsid --fork bash -c 'echo $$ >"$0"; exec dockerd' "$DOCKER_PID_FILE" </dev/null >>"$DOCKER_LOG" 2>&1 9>&-
  docker_wait "$DOCKER_LOG"
}

# Small machines' init may not have mounted the control groups.
docker_mount_cgroups() {
  if [[ ! -e /sys/fs/cgroup/cgroup.controllers && ! -e /sys/fs/cgroup/memory ]]; then
    mount -t cgroup2 none /sys/fs/cgroup || echo "no control groups are mounted at /sys/fs/cgroup, and they could not be"
  fi
}

# One that has ended will not answer any more.
docker_ended_by_hand() {
  [[ -s $DOCKER_PID_FILE ]] && ! kill -0 "$(<"$DOCKER_PID_FILE")" 2>/dev/null
}

docker_wait() {
  local deadline=$((SECONDS + DOCKER_START_SECONDS))
  until docker_answers; do
    if ((SECONDS >= deadline)); then
      echo "no Docker Engine answered within $DOCKER_START_SECONDS s: see $1"
      return 1
    fi
    if docker_ended_by_hand; then
      echo "dockerd ended: see $1"
      return 1
    fi
    sleep 0.3
  done
  echo "Docker Engine $(docker version --format '{{.Server.Version}}') answers"
}
