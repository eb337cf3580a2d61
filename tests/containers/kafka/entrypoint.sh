#!/bin/sh
# Write server.properties from KAFKA_* variables as apache/kafka's image does, format the storage, start the broker.
# KAFKA_NODE_ID becomes node.id; a double underscore becomes "_", a triple one "-".
set -eu

settings=/tmp/server.properties
for_the_jvm='^(HEAP_OPTS|JVM_PERFORMANCE_OPTS|OPTS|JMX_OPTS|GC_LOG_OPTS|LOG4J_.*)='

env | sed -n 's/^KAFKA_//p' | grep -vE "$for_the_jvm" | while IFS= read -r setting; do
    name=$(printf '%s' "${setting%%=*}" | tr '[:upper:]' '[:lower:]' | sed 's/___/-/g; s/__/~/g; s/_/./g; s/~/_/g')
    printf '%s=%s\n' "$name" "${setting#*=}"
done > "$settings"

# The options are several words.
# shellcheck disable=SC2086
kafka() { exec java ${KAFKA_HEAP_OPTS:-} ${KAFKA_JVM_PERFORMANCE_OPTS:-} \
    -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/libs/*' "$@"; }

(kafka kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config "$settings")
kafka kafka.Kafka "$settings"
