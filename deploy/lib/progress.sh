# shellcheck shell=bash
# How the scripts say what they are doing: one line per stage, on standard error, so that standard output
# stays free for what a program reads. On a terminal the running stage shows a spinner, its time and the
# newest line of its log; elsewhere only begin and end are written.
#
#   progress_begin LOG_DIR         first; what the stages print goes to LOG_DIR/<stage>.log
#   stage TITLE COMMAND [ARG…]     runs COMMAND and waits; when it fails, shows the end of its log and exits
#   stage_start TITLE COMMAND …    the same without waiting …
#   stage_join TITLE               … and the waiting
#   say TEXT, warn TEXT, die TEXT  one line; die exits with 1
#   progress_report                the stages' times
#
# COMMAND is a function or a program; it gets no standard input.

PROGRESS_LOG_DIR=
PROGRESS_TTY=
declare -A STAGE_PID=() STAGE_BEGAN=() STAGE_TOOK=()
declare -a STAGE_ORDER=()
if [[ -t 2 && ${TERM:-dumb} != dumb && -z ${CI:-} ]]; then PROGRESS_TTY=1; fi

progress_begin() {
  PROGRESS_LOG_DIR=$1
  mkdir -p "$PROGRESS_LOG_DIR"
  trap progress_stop_stages EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Stages run in process groups of their own, so that a whole one can be stopped and a ^C reaches us first.
progress_stop_stages() {
  local title
  for title in "${!STAGE_PID[@]}"; do
    kill -TERM -- "-${STAGE_PID[$title]}" 2>/dev/null || true
  done
  if [[ -n $PROGRESS_TTY ]]; then printf '\r\033[K' >&2; fi
}

say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

progress_now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '%s' "${now%???}"
}

# Milliseconds as `12.3 s` or `2 min 05 s`.
progress_time() {
  local ms=$1
  if ((ms < 120000)); then
    printf '%d.%d s' $((ms / 1000)) $((ms % 1000 / 100))
  else
    printf '%d min %02d s' $((ms / 60000)) $((ms / 1000 % 60))
  fi
}

stage_log() {
  local slug=${1,,}
  printf '%s/%s.log' "$PROGRESS_LOG_DIR" "${slug//[^a-z0-9]/-}"
}

# Where a stage leaves its exit status. Not in bash's own table: with many short children, as the progress display has,
# bash forgets the status of one that ended long ago, and its process id may be another's by then.
stage_status() { printf '%s.status' "$(stage_log "$1")"; }

stage_start() {
  local title=$1 status
  shift
  status=$(stage_status "$title")
  rm -f "$status"
  STAGE_ORDER+=("$title")
  STAGE_BEGAN[$title]=$(progress_now_ms)
  # Monitor mode gives the job its own process group.
  set -m
  (
    trap - INT TERM
    trap 'echo "$?" >"$status.new"; mv "$status.new" "$status"' EXIT
    set -euo pipefail
    "$@"
  ) </dev/null >"$(stage_log "$title")" 2>&1 &
  STAGE_PID[$title]=$!
  set +m
}

# What the stage printed last, without colours and control characters.
progress_newest_line() {
  tail -c 400 "$1" 2>/dev/null | tr '\r' '\n' | sed -e 's/\x1b\[[0-9;]*[A-Za-z]//g' -e '/^[[:space:]]*$/d' |
    tail -n 1 | tr -cd '[:print:]'
}

stage_runs() { [[ ! -e $(stage_status "$1") ]] && kill -0 "$2" 2>/dev/null; }

progress_spin() {
  local title=$1 pid=$2 log frames='|/-+' frame=0 columns line
  log=$(stage_log "$title")
  while stage_runs "$title" "$pid"; do
    columns=$(tput cols 2>/dev/null || echo 80)
    line="$(progress_time $(($(progress_now_ms) - STAGE_BEGAN[$title])))  $(progress_newest_line "$log")"
    printf '\r\033[K  %s %s  %s' "${frames:frame++%4:1}" "$title" "${line:0:$((columns - ${#title} - 8))}" >&2
    sleep 0.2
  done
  printf '\r\033[K' >&2
}

# A long stage says every half minute that it is alive, so that a CI log is never silent.
progress_wait_plainly() {
  local title=$1 pid=$2 waited=0
  say "  ... $title"
  while stage_runs "$title" "$pid"; do
    sleep 0.1
    if ((++waited % 300 == 0)); then
      say "  ... $title: $(progress_time $(($(progress_now_ms) - STAGE_BEGAN[$title])))  $(progress_newest_line "$(stage_log "$title")")"
    fi
  done
}

stage_join() {
  local title=$1 pid=${STAGE_PID[$1]} result=0
  if [[ -n $PROGRESS_TTY ]]; then progress_spin "$title" "$pid"; else progress_wait_plainly "$title" "$pid"; fi
  # Without a status it was killed.
  result=$(cat "$(stage_status "$title")" 2>/dev/null || echo killed)
  unset "STAGE_PID[$title]"
  STAGE_TOOK[$title]=$(($(progress_now_ms) - STAGE_BEGAN[$title]))
  if [[ $result != 0 ]]; then
    local how=''
    if [[ $result == killed ]]; then how=' (killed by a signal)'; fi
    say "  FAILED $title after $(progress_time "${STAGE_TOOK[$title]}")$how; the end of $(stage_log "$title"):"
    tail -n "${THAW_LOG_TAIL:-40}" "$(stage_log "$title")" | cut -c1-400 | sed 's/^/    /' >&2
    exit 1
  fi
  say "  ok  $title  ($(progress_time "${STAGE_TOOK[$title]}"))"
}

stage() {
  stage_start "$@"
  stage_join "$1"
}

progress_report() {
  local title
  say "stage times:"
  for title in "${STAGE_ORDER[@]}"; do
    if [[ -n ${STAGE_TOOK[$title]:-} ]]; then
      printf '  %-36s %s\n' "$title" "$(progress_time "${STAGE_TOOK[$title]}")" >&2
    fi
  done
}
