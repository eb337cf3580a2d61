package example;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import org.springframework.boot.ApplicationArguments;
import org.springframework.boot.ApplicationRunner;
import org.springframework.boot.DefaultApplicationArguments;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.stream.function.StreamBridge;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.messaging.support.MessageBuilder;

import static java.nio.charset.StandardCharsets.UTF_8;

/** Publishes that a mentor's pause was activated: java -jar target/publish.jar MENTOR_ID EVENT_ID. */
@SpringBootApplication
public class Publish implements ApplicationRunner {
    private static final String SOURCE = "/mentoring/pauses";

    private final StreamBridge bridge;
    private final Outcome outcome;

    public Publish(StreamBridge bridge, Outcome outcome) {
        this.bridge = bridge;
        this.outcome = outcome;
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

        var message = MessageBuilder.withPayload(data) // written as JSON
            .setHeader(KafkaHeaders.KEY, mentorId) // the partition is left to Kafka's default partitioner, which is right
            .setHeader("ce_specversion", text("1.0"))
            .setHeader("ce_id", text(eventId))
            .setHeader("ce_source", text(SOURCE))
            .setHeader("ce_type", text("mentor.pause.activated.v1"))
            .setHeader("ce_time", text(began.truncatedTo(ChronoUnit.SECONDS).toString()))
            .setHeader("content-type", text("application/json")) // another header than Spring's own contentType
            .build();

        // An exception ends the program. The event may have been written anyway: publish it again with the same id.
        bridge.send("pauses", message);

        if (System.getenv("WAIT") != null) {
            System.out.println(outcome.await(Outcome.dispatchId(SOURCE, eventId, mentorId), began));
        }
    }

    /** Returns bytes: the header mapper of the binder writes a string in double quotes. */
    private static byte[] text(String text) {
        return text.getBytes(UTF_8);
    }
}
