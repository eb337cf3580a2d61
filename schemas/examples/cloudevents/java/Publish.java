import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.kafka.CloudEventSerializer;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.time.temporal.ChronoUnit;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.StringSerializer;

/** Publishes that a mentor's pause was activated: Publish.java BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID. */
public final class Publish {
    public static void main(String[] arguments) throws Exception {
        String mentorId = arguments[1];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("key.serializer", StringSerializer.class.getName());
        settings.put("value.serializer", CloudEventSerializer.class.getName()); // binary mode
        settings.put("acks", "all");
        settings.put("max.block.ms", "10000");
        settings.put("request.timeout.ms", "10000");
        settings.put("delivery.timeout.ms", "30000");

        // If ids may have quotes or backslashes, use a JSON library.
        String data = String.format(
            "{\"mentor_id\":\"%s\",\"expected_return_date\":\"2026-05-01T00:00:00Z\",\"pause_reason\":\"personal_leave\"}",
            mentorId);
        CloudEvent event = CloudEventBuilder.v1()
            .withId(arguments[2]) // always the same for one event, and never for another
            .withSource(URI.create("/mentoring/pauses"))
            .withType("mentor.pause.activated.v1")
            .withTime(OffsetDateTime.now(ZoneOffset.UTC).truncatedTo(ChronoUnit.SECONDS))
            .withData("application/json", data.getBytes(StandardCharsets.UTF_8))
            .build();

        // The key is given here: the serializer knows nothing of it.
        String topic = System.getenv().getOrDefault("TOPIC", "mentor.pauses.v1");
        var record = new ProducerRecord<>(topic, mentorId, event);
        // An exception exits with code 1. The event may have been written anyway: publish it again with the same id.
        try (KafkaProducer<String, CloudEvent> producer = new KafkaProducer<>(settings)) {
            RecordMetadata written = producer.send(record).get(40, TimeUnit.SECONDS);
            System.out.println(written.topic() + "-" + written.partition() + "-" + written.offset());
        }
    }
}
