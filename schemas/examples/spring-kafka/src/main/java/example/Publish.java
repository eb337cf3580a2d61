package example;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.ApplicationArguments;
import org.springframework.boot.ApplicationRunner;
import org.springframework.boot.DefaultApplicationArguments;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.kafka.core.KafkaTemplate;
import tools.jackson.databind.json.JsonMapper;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Publishes that a mentor's pause was activated: java -jar target/publish.jar MENTOR_ID EVENT_ID. */
@SpringBootApplication
public class Publish implements ApplicationRunner {
    private static final String SOURCE = "/mentoring/pauses";

    private final KafkaTemplate<String, String> kafka;
    private final JsonMapper json;
    private final Outcome outcome;
    private final String topic;

    public Publish(
        KafkaTemplate<String, String> kafka,
        JsonMapper json,
        Outcome outcome,
        @Value("${TOPIC:mentor.pauses.v1}") String topic
    ) {
        this.kafka = kafka;
        this.json = json;
        this.outcome = outcome;
        this.topic = topic;
    }

    public static void main(String[] arguments) {
        if (new DefaultApplicationArguments(arguments).getNonOptionArgs().size() != 2) {
            System.err.println("usage: java -jar target/publish.jar MENTOR_ID EVENT_ID");
            System.exit(2);
        }
        SpringApplication.run(Publish.class, arguments).close();
    }

    @Override
    public void run(ApplicationArguments arguments) throws Exception {
        String mentorId = arguments.getNonOptionArgs().get(0);
        String eventId = arguments.getNonOptionArgs().get(1); // always the same for one event, and never for another
        Instant began = Instant.now();
        Map<String, String> data = Map.of(
            "mentor_id", mentorId,
            "expected_return_date", "2026-05-01T00:00:00Z",
            "pause_reason", "personal_leave");

        // The key is the mentor, and the partition is left to the default partitioner, which is right.
        var record = new ProducerRecord<>(topic, mentorId, json.writeValueAsString(data));
        Map.of(
            "ce_specversion", "1.0",
            "ce_id", eventId,
            "ce_source", SOURCE,
            "ce_type", "mentor.pause.activated.v1",
            "ce_time", began.truncatedTo(ChronoUnit.SECONDS).toString(),
            "content-type", "application/json"
        ).forEach((name, text) -> record.headers().add(name, text.getBytes(UTF_8))); // bytes: no mapper writes quotes

        // An exception ends the program. The event may have been written anyway: publish it again with the same id.
        RecordMetadata written = kafka.send(record).get(40, TimeUnit.SECONDS).getRecordMetadata();
        System.out.println(written.topic() + "-" + written.partition() + "-" + written.offset());

        if (System.getenv("WAIT") != null) {
            System.out.println(outcome.await(Outcome.dispatchId(SOURCE, eventId, mentorId), began));
        }
    }
}
