# shellcheck shell=bash disable=SC2034  # the lists are for those who source this
# The one list of Debian packages that Thaw is built, tested and run with; the names are the same in Debian
# 12 and 13. Sourced by the scripts, and by deploy/images/build/Dockerfile for what its image holds.

# Building the C++ services and tools.
PACKAGES_BUILD=(
  g++ cmake ninja-build ccache mold pkg-config ca-certificates
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev
  prometheus-cpp-dev libspdlog-dev nlohmann-json3-dev libboost-dev libyaml-cpp-dev
  libsqlite3-dev libssl-dev libzstd-dev libcli11-dev
)

# The tests' own: GoogleTest, the scripts' linter, and what the tests call.
PACKAGES_TEST=(
  libgtest-dev libgmock-dev shellcheck python3 python3-yaml openssl curl jq sqlite3 iproute2
)

# Docker Engine; its client, which is part of the former in Debian 12; a compose tool (1.29 in 12, 2.26 in 13).
PACKAGES_DOCKER_ENGINE=(docker.io iptables ca-certificates)
PACKAGES_DOCKER_CLIENT=(docker-cli)
PACKAGES_COMPOSE=(docker-compose)

# Making a base image where none can be pulled.
PACKAGES_DEBOOTSTRAP=(debootstrap debian-archive-keyring)

# Prints those of the given packages that are not installed, one a line.
packages_missing() {
  local -A installed=()
  local package status
  while read -r package status; do
    if [[ $status == *" installed" ]]; then installed[$package]=1; fi
  done < <(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null || true)
  for package in "$@"; do
    if [[ -z ${installed[$package]:-} ]]; then printf '%s\n' "$package"; fi
  done
}

# Installs those of the given packages that are missing; nothing, and in well under a second, when all are there.
packages_install() {
  local -a missing
  mapfile -t missing < <(packages_missing "$@")
  if ((${#missing[@]} == 0)); then
    echo "all packages are installed"
    return 0
  fi
  if ! command -v apt-get >/dev/null; then
    echo "this is not a Debian machine: install by its own means what these packages hold: ${missing[*]}"
    return 1
  fi
  if ((EUID != 0)); then
    echo "installing ${missing[*]} needs root: run this again as root"
    return 1
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # A source that is out of reach (a third party's, say) need not stop us: the install says what really lacks.
  timeout 300 apt-get -q update || echo "some package lists could not be read; going on with what is there"
  timeout 1800 apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}"
}
