// Publish that a mentor's pause was activated: node publish.mjs BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
import { CloudEvent, Kafka as CloudEventsKafka } from "cloudevents";
import { Kafka, logLevel } from "kafkajs";

const { TOPIC = "mentor.pauses.v1" } = process.env;
const [bootstrapServers, mentorId, eventId] = process.argv.slice(2);
const kafka = new Kafka({
  clientId: "mentoring",
  brokers: bootstrapServers.split(","),
  requestTimeout: 10_000,
  retry: { maxRetryTime: 30_000 },
  logLevel: logLevel.ERROR,
});

const event = new CloudEvent({
  id: eventId, // always the same for one event, and never for another: the SDK would make a random one
  source: "/mentoring/pauses",
  type: "mentor.pause.activated.v1",
  time: new Date().toISOString(),
  datacontenttype: "application/json",
  partitionkey: mentorId, // becomes the record's key
  data: { mentor_id: mentorId, expected_return_date: "2026-05-01T00:00:00Z", pause_reason: "personal_leave" },
});
const { key, headers, value } = CloudEventsKafka.binary(event);
// An attribute without a value is a header without one, which KafkaJS refuses.
const written = Object.fromEntries(Object.entries(headers).filter(([, text]) => text !== undefined));

const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
try {
  await producer.connect();
  const [record] = await producer.send({
    topic: TOPIC,
    acks: -1,
    messages: [{ key, headers: written, value: JSON.stringify(value) }], // the SDK's value is an object
  });
  console.log(`${record.topicName}-${record.partition}-${record.baseOffset}`);
} catch (error) {
  // The event may have been written anyway: publish it again with the same id.
  console.error(error);
  process.exitCode = 1;
} finally {
  await producer.disconnect();
}
