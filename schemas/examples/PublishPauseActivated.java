import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes that a mentor's pause was activated: java -cp kafka-clients.jar:slf4j-api.jar
 * PublishPauseActivated.java BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID (JDK 17 or newer).
 */
public final class PublishPauseActivated {
    private static final String SOURCE = "/mentoring/pauses";

    public static void main(String[] arguments) throws Exception {
        if (arguments.length != 3) {
            System.err.println("usage: PublishPauseActivated.java BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID");
            System.exit(2);
        }
        String bootstrapServers = arguments[0];
        String mentorId = arguments[1];
        String eventId = arguments[2]; // always the same for one event, and never for another

        long began = System.currentTimeMillis();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrapServers);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", StringSerializer.class.getName());
        settings.put("acks", "all"); // with enable.idempotence, the default: retries neither duplicate nor reorder
        settings.put("max.block.ms", "10000");
        settings.put("request.timeout.ms", "10000");
        settings.put("delivery.timeout.ms", "30000");

        // If ids may have quotes or backslashes, use a JSON library.
        String data = String.format(
            "{\"mentor_id\":\"%s\",\"expected_return_date\":\"2026-05-01T00:00:00Z\",\"pause_reason\":\"personal_leave\"}",
            mentorId);
        Map<String, String> attributes = Map.of(
            "ce_specversion", "1.0",
            "ce_id", eventId,
            "ce_source", SOURCE,
            "ce_type", "mentor.pause.activated.v1",
            "ce_time", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
            "content-type", "application/json");

        // The partition is left to the default partitioner: murmur2 of the key, which is right.
        String topic = System.getenv().getOrDefault("TOPIC", "mentor.pauses.v1");
        ProducerRecord<String, String> record = new ProducerRecord<>(topic, mentorId, data);
        attributes.forEach((name, text) -> record.headers().add(name, text.getBytes(StandardCharsets.UTF_8)));

        // An exception exits with code 1. The event may have been written anyway: publish it again with the same id.
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
            RecordMetadata written = producer.send(record).get(40, TimeUnit.SECONDS);
            System.out.println(written.topic() + "-" + written.partition() + "-" + written.offset());
            if (System.getenv("WAIT") != null) {
                System.out.println(outcome(bootstrapServers, dispatchId(eventId, mentorId), written.partition(), began));
            }
        }
    }

    /** Returns the final record of a dispatch: what became of the e-mails. */
    private static String outcome(String bootstrapServers, String dispatchId, int partition, long began) throws Exception {
        String topic = System.getenv().getOrDefault("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1");
        TopicPartition place = new TopicPartition(topic, partition);
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrapServers);
        settings.put("key.deserializer", StringDeserializer.class.getName());
        settings.put("value.deserializer", StringDeserializer.class.getName());
        settings.put("enable.auto.commit", "false");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.assign(List.of(place));
            long end = consumer.endOffsets(List.of(place)).get(place);
            OffsetAndTimestamp since = consumer.offsetsForTimes(Map.of(place, began - 60_000)).get(place); // clocks may differ
            consumer.seek(place, since == null ? end : since.offset());
            while (System.currentTimeMillis() < began + 80_000) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (dispatchId.equals(record.key()) && record.headers().lastHeader("pn_final") != null) {
                        return record.value();
                    }
                }
            }
        }
        throw new TimeoutException("no outcome in time");
    }

    private static String dispatchId(String eventId, String mentorId) throws Exception {
        byte[] identity = String.join("\0", SOURCE, eventId, mentorId).getBytes(StandardCharsets.UTF_8);
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(identity)).substring(0, 32);
    }
}
