package example;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.kafka.core.ConsumerFactory;
import org.springframework.stereotype.Component;

/** Waits for what became of an event's e-mails: leave this file out if you need no outcome. */
@Component
class Outcome {
    private final ConsumerFactory<String, String> consumers;
    private final String topic;

    Outcome(
        ConsumerFactory<String, String> consumers,
        @Value("${DISPATCHES_TOPIC:pause-notifications.dispatches.v1}") String topic
    ) {
        this.consumers = consumers;
        this.topic = topic;
    }

    /** Returns the final record of a dispatch that was written after an event began to be published. */
    String await(String dispatchId, Instant began) throws TimeoutException {
        try (Consumer<String, String> consumer = consumers.createConsumer()) {
            startFrom(began.minusSeconds(60), consumer); // clocks may differ
            Instant late = Instant.now().plusSeconds(40);
            while (Instant.now().isBefore(late)) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (dispatchId.equals(record.key()) && record.headers().lastHeader("pn_final") != null) {
                        return record.value();
                    }
                }
            }
        }
        throw new TimeoutException("no outcome in time");
    }

    /** Assigns all partitions without a group: nothing is committed. */
    private void startFrom(Instant since, Consumer<String, String> consumer) {
        List<TopicPartition> places = consumer.partitionsFor(topic).stream()
            .map(one -> new TopicPartition(topic, one.partition()))
            .toList();
        consumer.assign(places);
        var ends = consumer.endOffsets(places);
        var found = consumer.offsetsForTimes(
            places.stream().collect(Collectors.toMap(Function.identity(), place -> since.toEpochMilli())));
        for (TopicPartition place : places) {
            consumer.seek(place, found.get(place) == null ? ends.get(place) : found.get(place).offset());
        }
    }

    /** Returns the id of all that one event leads to. */
    static String dispatchId(String source, String eventId, String mentorId) throws Exception {
        byte[] identity = String.join("\0", source, eventId, mentorId).getBytes(StandardCharsets.UTF_8);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(identity)).substring(0, 32);
    }
}
