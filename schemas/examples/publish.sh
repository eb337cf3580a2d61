#!/bin/sh
# Publish that a mentor's pause was activated: publish.sh BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
set -eu
if [ $# -ne 3 ]; then
    echo "usage: publish.sh BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID" >&2
    exit 2
fi
bootstrap_servers=$1 mentor_id=$2 event_id=$3
since=$(($(date +%s) - 60))000 # clocks may differ

# This must be one line, since kcat writes one record per line. If ids may have quotes or backslashes, use jq.
data='{"mentor_id":"'$mentor_id'","expected_return_date":"2026-05-01T00:00:00Z","pause_reason":"personal_leave"}'

# The partitioner must be set: kcat's default, consistent_random, chooses other partitions.
# The event id is always the same for one event, and never for another. If the exit code is not 0, the event may have
# been written anyway: publish it again with the same id.
printf '%s\n' "$data" | kcat -P -b "$bootstrap_servers" -t "${TOPIC:-mentor.pauses.v1}" -k "$mentor_id" \
    -X partitioner=murmur2_random -X acks=all -X enable.idempotence=true -X delivery.timeout.ms=30000 \
    -H ce_specversion=1.0 \
    -H "ce_id=$event_id" \
    -H ce_source=/mentoring/pauses \
    -H ce_type=mentor.pause.activated.v1 \
    -H "ce_time=$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    -H content-type=application/json

# What became of the e-mails: the record of the dispatch with the header pn_final.
if [ -n "${WAIT:-}" ]; then
    dispatch=$(printf '%s\0%s\0%s' /mentoring/pauses "$event_id" "$mentor_id" | sha256sum | cut -c 1-32)
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kcat -C -e -q -b "$bootstrap_servers" -t "${DISPATCHES_TOPIC:-pause-notifications.dispatches.v1}" \
            -o "s@$since" -f '%k %h %s\n' | grep "^$dispatch .*pn_final" | sed 's/^[^{]*//' | tail -n 1 | grep . && exit
        sleep 2
    done
    echo "no outcome in time" >&2
    exit 1
fi
