import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Publishes that a mentor's pause was activated: java -cp kafka-clients.jar:slf4j-api.jar
 * PublishPauseActivated.java BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID (JDK 11 or newer).
 */
public final class PublishPauseActivated {
    public static void main(String[] arguments) throws Exception {
        String bootstrapServers = arguments[0];
        String mentorId = arguments[1];
        String eventId = arguments[2]; // always the same for one event, and never for another

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
            "ce_source", "/mentoring/pauses",
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
        }
    }
}
