import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.debezium.data.Envelope;
import io.debezium.data.Json;
import io.debezium.time.ZonedTimestamp;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;
import org.apache.kafka.connect.storage.HeaderConverter;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * Passes a new row of an outbox table through transforms and converters, as Kafka Connect does: Route.java FILE.
 *
 * <p>FILE has a JSON array of objects: a row, and the configuration of a connector. A line of JSON is printed for each:
 * the record that would be written.
 */
public final class Route {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String TABLE = "mentoring.public.outbox";

    public static void main(String[] arguments) throws Exception {
        for (JsonNode asked : JSON.readTree(new File(arguments[0]))) {
            Map<String, String> config = new HashMap<>();
            asked.get("config").properties().forEach(one -> config.put(one.getKey(), one.getValue().asText()));
            System.out.println(written(transformed(inserted(asked.get("row")), config), config));
        }
    }

    /** Returns what the Postgres connector makes of an INSERT. */
    private static SourceRecord inserted(JsonNode row) {
        SchemaBuilder builder = SchemaBuilder.struct().name(TABLE + ".Value");
        row.fieldNames().forEachRemaining(name -> builder.field(name, switch (name) {
            case "data" -> Json.schema();
            case "time" -> ZonedTimestamp.schema();
            default -> Schema.STRING_SCHEMA;
        }));
        Schema schema = builder.build();
        Struct after = new Struct(schema);
        row.properties().forEach(one -> after.put(one.getKey(), one.getValue().asText()));
        Envelope envelope = Envelope.defineSchema()
            .withName(TABLE + ".Envelope")
            .withRecord(schema)
            .withSource(SchemaBuilder.struct().build())
            .build();
        Struct change = envelope.create(after, null, Instant.now());
        return new SourceRecord(Map.of(), Map.of(), TABLE, envelope.schema(), change);
    }

    @SuppressWarnings("unchecked")
    private static SourceRecord transformed(SourceRecord record, Map<String, String> config) throws Exception {
        for (String name : config.get("transforms").split(",")) {
            Map<String, String> own = under("transforms." + name + ".", config);
            var transform = (Transformation<SourceRecord>) Class.forName(own.get("type")).getConstructor().newInstance();
            transform.configure(own);
            record = transform.apply(record);
            transform.close();
        }
        return record;
    }

    private static String written(SourceRecord record, Map<String, String> config) throws Exception {
        ObjectNode written = JSON.createObjectNode().put("topic", record.topic());
        var key = (Converter) converter("key.converter", config);
        written.put("key", text(key.fromConnectData(record.topic(), record.keySchema(), record.key())));
        var value = (Converter) converter("value.converter", config);
        written.put("value", text(value.fromConnectData(record.topic(), record.valueSchema(), record.value())));
        var headers = (HeaderConverter) converter("header.converter", config);
        ObjectNode named = written.putObject("headers");
        for (Header header : record.headers()) {
            byte[] bytes = headers.fromConnectHeader(record.topic(), header.key(), header.schema(), header.value());
            named.put(header.key(), text(bytes));
        }
        return JSON.writeValueAsString(written);
    }

    private static Object converter(String role, Map<String, String> config) throws Exception {
        Object converter = Class.forName(config.get(role)).getConstructor().newInstance();
        Map<String, String> own = under(role + ".", config);
        if (role.startsWith("header")) {
            own.put("converter.type", "header");
            ((HeaderConverter) converter).configure(own);
        } else {
            ((Converter) converter).configure(own, role.startsWith("key"));
        }
        return converter;
    }

    private static Map<String, String> under(String prefix, Map<String, String> config) {
        Map<String, String> own = new HashMap<>();
        config.forEach((name, value) -> {
            if (name.startsWith(prefix)) {
                own.put(name.substring(prefix.length()), value);
            }
        });
        return own;
    }

    private static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }
}
