# shellcheck shell=bash
# Companies' networks often look into TLS with a certificate of their own. Its bundle, the file that
# SSL_CERT_FILE names (or the system's), and the proxy settings are given to every container that builds.

# Prints the host's CA bundle; nothing when there is none.
ca_bundle() {
  local candidate
  for candidate in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
    if [[ -n $candidate && -r $candidate ]]; then
      printf '%s' "$candidate"
      return
    fi
  done
}

# Sets the array CA_RUN_ARGS: what `docker run` needs so that programs inside reach what the host reaches.
ca_run_args() {
  local bundle name
  local inside=/etc/ssl/thaw-host-ca.crt
  CA_RUN_ARGS=()
  bundle=$(ca_bundle)
  if [[ -n $bundle ]]; then
    CA_RUN_ARGS+=(-v "$bundle:$inside:ro")
    for name in SSL_CERT_FILE CURL_CA_BUNDLE PIP_CERT NODE_EXTRA_CA_CERTS; do
      CA_RUN_ARGS+=(-e "$name=$inside")
    done
  fi
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    if [[ -n ${!name:-} ]]; then CA_RUN_ARGS+=(-e "$name"); fi
  done
}

# Sets the array CA_BUILD_ARGS: the proxy settings for `docker build` (apt needs no bundle).
ca_build_args() {
  local name
  CA_BUILD_ARGS=()
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    if [[ -n ${!name:-} ]]; then CA_BUILD_ARGS+=(--build-arg "$name"); fi
  done
}
