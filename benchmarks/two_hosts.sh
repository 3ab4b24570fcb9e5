#!/usr/bin/env bash
# A batch on two hosts, which are two network namespaces of this machine: one holds Ray's head, the
# other joins it. Needs root, iproute2 and this package with its extra `ray` in the environment at hand.
#
# benchmarks/two_hosts.sh CONTENTS STYLES OUTPUT [flags of stylize-batch]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
contents=$1 styles=$2 output=$3
shift 3
export RAY_USAGE_STATS_ENABLED=0 RAY_TMPDIR PYTHONPATH="$root" TF_CPP_MIN_LOG_LEVEL=3
# Nobody else is in these namespaces; a token from an earlier head would be asked for.
export RAY_AUTH_MODE=disabled
RAY_TMPDIR=$(mktemp -d /tmp/two_hosts.XXXX)
head=tfstyle-head joining=tfstyle-joins sampler=

cleanup() {
  kill "$sampler" 2>/dev/null || true
  for side in $head $joining; do ip netns pids $side 2>/dev/null | xargs -r kill -9 || true; done
  ip netns del $head 2>/dev/null || true
  ip netns del $joining 2>/dev/null || true
  rm -rf "$RAY_TMPDIR"
}
trap cleanup EXIT

ip netns add $head
ip netns add $joining
ip link add tfstyle0 netns $head type veth peer name tfstyle1 netns $joining
for side in "$head tfstyle0 10.213.0.1" "$joining tfstyle1 10.213.0.2"; do
  read -r name device address <<<"$side"
  ip -n "$name" link set lo up
  ip -n "$name" address add "$address/24" dev "$device"
  ip -n "$name" link set "$device" up
done

ip netns exec $head ray start --head --node-ip-address=10.213.0.1 --port=6379 --num-cpus=1 \
  --include-dashboard=false --disable-usage-stats >/dev/null
ip netns exec $joining ray start --address=10.213.0.1:6379 --node-ip-address=10.213.0.2 --num-cpus=1 \
  --disable-usage-stats >/dev/null
# Ray's workers end with the batch, so that what runs where is noted on the way.
while sleep 1; do ip netns pids $joining >>"$RAY_TMPDIR/joined"; done &
sampler=$!
start=$(date +%s)
status=0
ip netns exec $head "$root/bin/stylize-batch" --contents "$contents" --styles "$styles" \
  --output "$output" --ray 10.213.0.1:6379 "$@" || status=$?
echo "exit code $status after $(($(date +%s) - start)) s"

# Which host made what: the report names each job's process, and a process belongs to a namespace.
python - "$output/report.jsonl" "$RAY_TMPDIR/joined" <<'END'
import collections, json, sys
joined = {int(line) for line in open(sys.argv[2])}
counts = collections.Counter()
for line in open(sys.argv[1]):
    record = json.loads(line)
    host = "the joining host" if int(record["worker"].rpartition(":")[2]) in joined else "the head"
    counts[host, record["status"]] += 1
for (host, status), count in sorted(counts.items()):
    print(f"{host}: {count} {status}")
END
exit $status
