/**
 * Reads `+ target signal ticks` and `- target`; the end of its input is the end of this process, or of what is left of it. Then all
 * that are left get their signal, their time and SIGKILL.
 *
 * `kill -TERM -4711`, without `-s` and `--`: busybox knows neither. A `sleep` that knows no fractions counts ten ticks a second.
 */
export const GUARD_SCRIPT = `
trap '' HUP INT QUIT TERM
all=
while read -r what target signal ticks; do
  kept=
  for one in $all; do
    case $one in "$target":*) ;; *) kept="$kept $one" ;; esac
  done
  all=$kept
  if [ "$what" = + ]; then all="$all $target:$signal:$ticks"; fi
done
for one in $all; do
  signal=\${one#*:}
  kill -"\${signal%%:*}" "\${one%%:*}" 2>/dev/null
done
tick=0
while [ -n "$all" ]; do
  kept=
  for one in $all; do
    target=\${one%%:*}
    kill -0 "$target" 2>/dev/null || continue
    if [ "$tick" -ge "\${one##*:}" ]; then
      kill -KILL "$target" 2>/dev/null
    else
      kept="$kept $one"
    fi
  done
  all=$kept
  if sleep 0.1; then tick=$((tick + 1)); else sleep 1; tick=$((tick + 10)); fi
done
`;
