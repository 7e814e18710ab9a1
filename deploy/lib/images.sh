# shellcheck shell=bash
# The images of a cluster, and what goes into them. Each image carries the label io.thaw.content with the hash
# of all that it is made from, so that what is up to date is not built again. The C++ services are compiled in
# a container of thaw/build; the other images only copy.
#
# Needs THAW_ROOT (the checkout), THAW_OUT (its out/), and packages.sh, docker.sh, base-image.sh, ca.sh.

IMAGE_BUILD=thaw/build:latest
IMAGE_SERVICES=thaw/services:latest
IMAGE_PROMETHEUS=thaw/prometheus:latest
IMAGE_CRIU=thaw/criu:latest
IMAGE_JAVA_RUNTIME=thaw/java-runtime:latest
# The two names of the build image are for deploy/images/build-fdk.
# shellcheck disable=SC2034
IMAGE_JAVA_BUILD=thaw/java-build:latest
# The names that existing func.yml files give: they resolve to ours, locally.
IMAGE_JAVA_RUNTIME_ALIASES=(tanquetav/fdk-java-crac:latest)
# shellcheck disable=SC2034
IMAGE_JAVA_BUILD_ALIASES=(fnproject/fn-java-fdk-build:jdk17-1.0.165)

SERVICE_BINARIES=(thaw-gateway thaw-scheduler thaw-agent thaw thaw-init)
SERVICE_SOURCES=(CMakeLists.txt cmake proto common agent gateway scheduler cli)

# The hash of the given words.
hash_words() { printf '%s\0' "$@" | sha256sum | cut -c1-32; }

# The hash of files and of all files below folders (names relative to the checkout; those that are not there are
# left out). Build output is not looked at.
hash_files() (
  cd "$THAW_ROOT" || exit
  for path in "$@"; do
    if [[ -e $path ]]; then printf '%s\0' "$path"; fi
  done | xargs -0r -I{} find {} \( -name target -o -name __pycache__ \) -prune -o \( -type f -o -type l \) -print0 |
    LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum | cut -c1-32
)

image_id() { docker image inspect -f '{{.Id}}' "$1" 2>/dev/null; }

# Whether the image TAG was made from content HASH.
image_is_current() {
  [[ $(docker image inspect -f '{{index .Config.Labels "io.thaw.content"}}' "$1" 2>/dev/null) == "$2" ]]
}

# image_build TAG HASH CONTEXT [docker build's ARG…]: builds it if it is not current.
image_build() {
  local tag=$1 hash=$2 context=$3 before
  shift 3
  if image_is_current "$tag" "$hash"; then
    echo "$tag is up to date"
    return 0
  fi
  before=$(image_id "$tag" || true)
  ca_build_args
  # The classic builder takes its base from the local images and asks no registry; every engine has it.
  DOCKER_BUILDKIT=0 timeout 3600 docker build --force-rm --label "io.thaw.content=$hash" -t "$tag" \
    "${CA_BUILD_ARGS[@]}" "$@" "$context" || return
  # The one it replaces, unless a container still uses it.
  if [[ -n $before && $before != "$(image_id "$tag")" ]]; then docker rmi "$before" >/dev/null 2>&1 || true; fi
}

# The compiler's image.
images_builder() {
  local hash
  hash=$(hash_words "$(image_id "$BASE_IMAGE")" "$(hash_files deploy/images/build)" "${PACKAGES_BUILD[@]}")
  image_build "$IMAGE_BUILD" "$hash" "$THAW_ROOT/deploy/images/build" --build-arg "PACKAGES=${PACKAGES_BUILD[*]}"
}

# Compiles the services into out/services/bin. Objects and ccache stay in out/ for the next time.
images_compile() {
  local hash stamp=$THAW_OUT/services/stamp binary
  hash=$(hash_words "$(image_id "$IMAGE_BUILD")" "$(hash_files "${SERVICE_SOURCES[@]}")")
  if [[ -f $stamp && $(<"$stamp") == "$hash" ]] && images_have_binaries; then
    echo "the services are up to date"
    return 0
  fi
  mkdir -p "$THAW_OUT/services/build" "$THAW_OUT/services/bin" "$THAW_OUT/ccache"
  within "${THAW_COMPILE_SECONDS:-3600}" \
    "what is compiled is kept, so run this again; on a slow machine give it longer with THAW_COMPILE_SECONDS" \
    docker run --rm --init --name "thaw-compile-$$" --network none \
    -v "$THAW_ROOT:/src:ro" -v "$THAW_OUT/services:/out" -v "$THAW_OUT/ccache:/ccache" \
    -e CCACHE_DIR=/ccache -e "NINJA_STATUS=[%f/%t] " -e "TARGETS=${SERVICE_BINARIES[*]}" \
    "$IMAGE_BUILD" bash /src/deploy/images/build/compile || {
    local status=$?
    # The container outlives a client that had to be killed.
    if ((status == 124)); then timeout 60 docker rm -f "thaw-compile-$$" >/dev/null 2>&1 || true; fi
    return "$status"
  }
  for binary in "${SERVICE_BINARIES[@]}"; do
    if [[ ! -x $THAW_OUT/services/bin/$binary ]]; then
      echo "the build made no $binary"
      return 1
    fi
  done
  printf '%s' "$hash" >"$stamp"
}

images_have_binaries() {
  local binary
  for binary in "${SERVICE_BINARIES[@]}"; do
    if [[ ! -x $THAW_OUT/services/bin/$binary ]]; then return 1; fi
  done
  [[ -f $THAW_OUT/services/preload/libthaw-unique.so ]]
}

# Makes the build context out/context/NAME from the given files (names relative to the checkout) and prints where.
images_context() {
  local context=$THAW_OUT/context/$1 file
  shift
  rm -rf "$context"
  mkdir -p "$context"
  for file in "$@"; do cp "$THAW_ROOT/$file" "$context/"; done
  printf '%s' "$context"
}

IMAGES_SERVICES_FILES=(deploy/images/services/Dockerfile deploy/images/healthy)
IMAGES_CRIU_FILES=(deploy/images/criu/Dockerfile deploy/images/criu/bundle)
IMAGES_PROMETHEUS_FILES=(deploy/images/prometheus/Dockerfile deploy/images/healthy)

# Everything of the services' image but the services: made while they are being compiled.
images_services_base() {
  local hash context
  hash=$(hash_words "$(image_id "$BASE_IMAGE")" "$(hash_files "${IMAGES_SERVICES_FILES[@]}")")
  context=$(images_context services-base "${IMAGES_SERVICES_FILES[@]}")
  image_build thaw/services-base:latest "$hash" "$context" --target base
}

# The CRIU that agents mount into their containers, as the image thaw/criu and in out/criu.
images_criu() {
  local hash context container stamp=$THAW_OUT/criu.stamp
  hash=$(hash_words "$(image_id "$BASE_IMAGE")" "$(hash_files "${IMAGES_CRIU_FILES[@]}")")
  context=$(images_context criu "${IMAGES_CRIU_FILES[@]}")
  image_build "$IMAGE_CRIU" "$hash" "$context" || return
  if [[ -x $THAW_OUT/criu/criu && -f $stamp && $(<"$stamp") == "$hash" ]]; then return 0; fi
  rm -rf "$THAW_OUT/criu" "$THAW_OUT/criu.new"
  # Never started; an image without a command needs one to make a container.
  local stuck="the Docker Engine does not get on; look at its log, restart it, and run this again"
  container=$(within 120 "$stuck" docker create "$IMAGE_CRIU" /criu/criu) || return
  within 300 "$stuck" docker cp "$container:/criu" "$THAW_OUT/criu.new" || return
  within 120 "$stuck" docker rm "$container" >/dev/null || return
  mv "$THAW_OUT/criu.new" "$THAW_OUT/criu"
  printf '%s' "$hash" >"$stamp"
}

images_services() {
  local hash context
  hash=$(hash_words "$(image_id "$BASE_IMAGE")" "$(hash_files "${IMAGES_SERVICES_FILES[@]}")" \
    "$(cd "$THAW_OUT/services/bin" && sha256sum "${SERVICE_BINARIES[@]}" ../preload/*)" "$(<"$THAW_OUT/criu.stamp")")
  context=$(images_context services "${IMAGES_SERVICES_FILES[@]}")
  mkdir "$context/bin"
  cp -r "$THAW_OUT/criu" "$context/criu"
  cp -r "$THAW_OUT/services/preload" "$context/preload"
  cp "${SERVICE_BINARIES[@]/#/$THAW_OUT/services/bin/}" "$context/bin/"
  image_build "$IMAGE_SERVICES" "$hash" "$context"
}

images_prometheus() {
  local hash context
  hash=$(hash_words "$(image_id "$BASE_IMAGE")" "$(hash_files "${IMAGES_PROMETHEUS_FILES[@]}")")
  context=$(images_context prometheus "${IMAGES_PROMETHEUS_FILES[@]}")
  image_build "$IMAGE_PROMETHEUS" "$hash" "$context"
}

IMAGES_JAVA_RUNTIME_FILES=(deploy/images/java-runtime/Dockerfile)

# What a runtime image of JDK is made on: Debian 13 has 21 and 25, Debian 12 has 17.
images_java_suite() { if [[ $1 == 17 ]]; then echo bookworm; else echo trixie; fi; }

# images_java_runtime_base [JDK]: JDK and CRIU, made while thaw-init is being compiled.
images_java_runtime_base() {
  local jdk=${1:-21} hash context base
  base=debian:$(images_java_suite "$jdk")-slim
  hash=$(hash_words "$(image_id "$base")" "$(hash_files "${IMAGES_JAVA_RUNTIME_FILES[@]}")")
  context=$(images_context java-runtime-base "${IMAGES_JAVA_RUNTIME_FILES[@]}")
  image_build "thaw/java-runtime-base:$(images_java_tag "$jdk")" "$hash" "$context" --target base \
    --build-arg "BASE=$base" --build-arg "JDK=$jdk"
}

# The tag of a JDK's images: `latest` is the default's.
images_java_tag() { if [[ $1 == 21 ]]; then echo latest; else echo "jdk$1"; fi; }

# images_java_runtime THAW-INIT [JDK]: what Java functions run on, with this thaw-init and the FDK of out/fdk.
images_java_runtime() {
  local init=$1 jdk=${2:-21} hash context alias base tag
  base=debian:$(images_java_suite "$jdk")-slim
  tag=${IMAGE_JAVA_RUNTIME%:*}:$(images_java_tag "$jdk")
  hash=$(hash_words "$(image_id "$base")" "$(hash_files "${IMAGES_JAVA_RUNTIME_FILES[@]}")" \
    "$(sha256sum <"$init")" "$(cd "$THAW_OUT/fdk/runtime" && sha256sum ./*.jar)")
  context=$(images_context "java-runtime-$jdk" "${IMAGES_JAVA_RUNTIME_FILES[@]}")
  mkdir "$context/fdk"
  cp "$init" "$context/thaw-init"
  cp "$THAW_OUT"/fdk/runtime/*.jar "$context/fdk/"
  image_build "$tag" "$hash" "$context" --build-arg "BASE=$base" --build-arg "JDK=$jdk"
  if [[ $jdk == 21 ]]; then
    for alias in "${IMAGE_JAVA_RUNTIME_ALIASES[@]}"; do docker tag "$tag" "$alias"; done
  fi
}

# The FDK, the demo's jars, and the image that functions are built in. Arguments go to build-fdk.
images_fdk() { THAW_OUT=$THAW_OUT bash "$THAW_ROOT/deploy/images/build-fdk" --image "$@"; }
