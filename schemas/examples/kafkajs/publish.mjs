// Publish that a mentor's pause was activated: node publish.mjs BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
import { createHash } from "node:crypto";
import { Kafka, logLevel } from "kafkajs";

const SOURCE = "/mentoring/pauses";
const { TOPIC = "mentor.pauses.v1", DISPATCHES_TOPIC = "pause-notifications.dispatches.v1", WAIT } = process.env;

const [bootstrapServers, mentorId, eventId, ...rest] = process.argv.slice(2);
if (!eventId || rest.length > 0) {
  console.error("usage: node publish.mjs BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID");
  process.exit(2);
}
const kafka = new Kafka({
  clientId: "mentoring",
  brokers: bootstrapServers.split(","),
  requestTimeout: 10_000,
  retry: { maxRetryTime: 30_000 },
  logLevel: logLevel.NOTHING, // what fails for good is thrown; what is tried again would be logged, too
});

async function publish() {
  // The default partitioner of KafkaJS 2 is right: murmur2 of the key.
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 }); // retries neither duplicate nor reorder
  await producer.connect();
  try {
    const data = { mentor_id: mentorId, expected_return_date: "2026-05-01T00:00:00Z", pause_reason: "personal_leave" };
    const [written] = await producer.send({
      topic: TOPIC,
      acks: -1,
      messages: [
        {
          key: mentorId,
          value: JSON.stringify(data),
          headers: {
            ce_specversion: "1.0",
            ce_id: eventId, // always the same for one event, and never for another
            ce_source: SOURCE,
            ce_type: "mentor.pause.activated.v1",
            ce_time: new Date().toISOString(),
            "content-type": "application/json",
          },
        },
      ],
    });
    return written;
  } finally {
    await producer.disconnect();
  }
}

/** Return where the dispatches end now: what becomes of the event comes after that. */
async function endOfDispatches() {
  const admin = kafka.admin();
  await admin.connect();
  try {
    return await admin.fetchTopicOffsets(DISPATCHES_TOPIC);
  } finally {
    await admin.disconnect();
  }
}

/** Return the final record of a dispatch: what became of the e-mails. */
async function outcome(dispatchId, ends) {
  const consumer = kafka.consumer({ groupId: `mentoring-outcomes-${dispatchId}-${process.pid}` });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: DISPATCHES_TOPIC });
    return await new Promise((resolve, reject) => {
      setTimeout(() => reject(new Error("no outcome in time")), 40_000).unref();
      const eachMessage = async ({ message }) => {
        const isFinal = "pn_final" in (message.headers ?? {});
        if (message.key?.toString() === dispatchId && isFinal) resolve(message.value.toString());
      };
      consumer.run({ autoCommit: false, eachMessage }).catch(reject);
      for (const { partition, high } of ends) consumer.seek({ topic: DISPATCHES_TOPIC, partition, offset: high });
    });
  } finally {
    await consumer.disconnect();
  }
}

try {
  const ends = WAIT ? await endOfDispatches() : [];
  const written = await publish();
  console.log(`${written.topicName}-${written.partition}-${written.baseOffset}`);
  if (WAIT) {
    const identity = [SOURCE, eventId, mentorId].join("\0");
    const dispatchId = createHash("sha256").update(identity).digest("hex").slice(0, 32);
    console.log(await outcome(dispatchId, ends));
  }
} catch (error) {
  // The event may have been written anyway: publish it again with the same id.
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
