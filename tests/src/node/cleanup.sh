# Ends what containerd leaves when it is gone: shims, their containers, mounts, cgroups. $1 is the node's folder.
parent_of() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2> /dev/null; }
for cmdline in /proc/[0-9]*/cmdline; do
  if tr '\0' ' ' < "$cmdline" 2> /dev/null | grep -q -- "-address $1/c.sock"; then
    shim=${cmdline#/proc/}
    shim=${shim%/cmdline}
    for status in /proc/[0-9]*/status; do
      child=${status#/proc/}
      child=${child%/status}
      [ "$(parent_of "$child")" = "$shim" ] && kill -KILL "$child"
    done
    kill -KILL "$shim"
  fi
done
sleep 0.2
sed -n "s#^[^ ]* \($1/[^ ]*\) .*#\1#p" /proc/self/mounts | sort -r | while read -r mount; do umount -l "$mount"; done
for task in "$1"/state/io.containerd.runtime.v2.task/k8s.io/*; do
  find /sys/fs/cgroup -depth -type d -name "${task##*/}" -exec rmdir {} + 2> /dev/null
done
# The kubelet's links to logs have a place of their own that no setting moves.
for link in /var/log/containers/*; do
  case $(readlink "$link") in */lockkeeper-bed-*) [ -e "$link" ] || rm -f "$link" ;; esac
done
true
