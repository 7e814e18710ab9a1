# shellcheck shell=bash
# The base of all images, debian:trixie-slim: the one that is here, else the registry's, else the same made
# from Debian's packages. Another suite's (the tests have functions on bookworm) is had the same way. Needs packages.sh.

# shellcheck disable=SC2034
BASE_IMAGE=debian:trixie-slim
BASE_PULL_SECONDS=60

# base_image_ensure [SUITE]
base_image_ensure() {
  local suite=${1:-trixie}
  local image=debian:$suite-slim
  if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image is here"
    return 0
  fi
  echo "pulling $image"
  if timeout "$BASE_PULL_SECONDS" docker pull -q "$image"; then return 0; fi
  echo "$image can't be pulled: making it with debootstrap"
  base_image_debootstrap "$suite" "$image"
}

# The mirror that this machine's own apt uses, if it is a Debian one; empty: debootstrap's default.
base_image_mirror() {
  local mirror
  mirror=$(sed -nE -e 's/^[[:space:]]*deb(-src)?[[:space:]]+(\[[^]]*\][[:space:]]+)?(https?:[^[:space:]]+\/debian)\/?[[:space:]].*/\3/p' \
    -e 's/^URIs:[[:space:]]*(https?:[^[:space:]]+\/debian)\/?([[:space:]].*)?$/\1/p' \
    /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
  printf '%s' "${THAW_DEBIAN_MIRROR:-$mirror}"
}

base_image_debootstrap() (
  suite=$1 image=$2
  packages_install "${PACKAGES_DEBOOTSTRAP[@]}"
  mirror=$(base_image_mirror)
  root=$(mktemp -d "${TMPDIR:-/var/tmp}/thaw-$suite.XXXXXX")
  trap 'rm -rf "$root"' EXIT
  # The root holds device nodes and set-user-id files.
  timeout 1200 debootstrap --variant=minbase "$suite" "$root/fs" ${mirror:+"$mirror"}
  # debootstrap writes down which one it took.
  mirror=$(awk '$1 == "deb" { print $2; exit }' "$root/fs/etc/apt/sources.list")
  base_image_slim "$root/fs"
  base_image_sources "$root/fs" "$suite" "$mirror"
  tar -C "$root/fs" --numeric-owner -c . |
    docker import --change 'CMD ["bash"]' --message "debootstrap $suite from $mirror" - "$image"
)

# What the registry's slim image leaves out as well.
base_image_slim() {
  local root=$1
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/lib/apt/lists/* \
    "$root"/var/log/{bootstrap.log,apt/*,dpkg.log,alternatives.log}
  # The files, not the folders: packages' alternatives link into those of the manuals.
  find "$root"/usr/share/{doc,man,info,locale,lintian} ! -type d ! -name copyright -delete
  cat >"$root/etc/dpkg/dpkg.cfg.d/docker" <<'CFG'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/lintian/*
force-unsafe-io
CFG
  cat >"$root/etc/apt/apt.conf.d/docker" <<'CFG'
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
CFG
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
}

# Security updates too, where this machine's own apt has them from the same host.
base_image_sources() {
  local root=$1 suite=$2 mirror=$3
  {
    echo "deb $mirror $suite main"
    if grep -rqsF "${mirror}-security" /etc/apt/sources.list /etc/apt/sources.list.d; then
      echo "deb $mirror $suite-updates main"
      echo "deb ${mirror}-security $suite-security main"
    fi
  } >"$root/etc/apt/sources.list"
}
