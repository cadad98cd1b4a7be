# shellcheck shell=bash
# Shared by the launch scripts, which source it.

DRY_RUN=""
restarts=0

# Prints a command in a form that can be pasted into a shell.
quoted() {
  local word text=""
  for word in "$@"; do
    case "$word" in
      "" | *[!a-zA-Z0-9_./:=,@%+-]*) word="'${word//\'/\'\\\'\'}'" ;;
    esac
    text+="${text:+ }$word"
  done
  printf '%s\n' "$text"
}

# Runs a command; a dry run prints it instead.
run() {
  if [[ $DRY_RUN ]]; then quoted "$@"; else "$@"; fi
}

# Reports what happens; in a dry run as a comment, so that the output remains a script.
say() {
  if [[ $DRY_RUN ]]; then echo "# $*"; else echo "$(basename "$0"): $*" >&2; fi
}

fail() {
  echo "error: $*" >&2
  exit 1
}

# Whether to restart a training that ended with this code. Its exit codes are those of
# jaxsim/training/machines/stopping.py: 0 trained to the end; 1 something is wrong that a restart would not change (the
# message says what); 75 stopped by SIGTERM, saved; 130 stopped by Ctrl-C, saved; and 2 for wrong
# options. 126 and 127 come from the shell, for a command that cannot be run. All others are crashes
# (70 with a traceback, 134 another process of the run was lost, 137 killed), after which it is
# restarted RESTARTS times.
restart_wanted() {
  case "$1" in
    0 | 1 | 2 | 126 | 127 | 130) return 1 ;;
    75) say "the training was asked to stop and has saved; restarting it" ;;
    *)
      restarts=$((restarts + 1))
      if ((restarts > ${RESTARTS:-3})); then
        say "the training crashed with exit code $1, more than RESTARTS=${RESTARTS:-3} times"
        return 1
      fi
      say "the training crashed with exit code $1; restart $restarts of ${RESTARTS:-3}"
      ;;
  esac
}
