// Publish that a mentor's pause was activated: go run . BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
package main

import (
	"context"
	"fmt"
	"hash"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
)

const source = "/mentoring/pauses"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: publish BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID")
		os.Exit(2)
	}
	servers, mentorID, eventID := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3]
	client, err := sarama.NewClient(servers, config())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	dispatches := setting("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1")
	ends, err := endOffsets(client, dispatches)
	if err != nil {
		log.Fatal(err)
	}

	if err := publish(client, setting("TOPIC", "mentor.pauses.v1"), mentorID, eventID); err != nil {
		// The event may have been written anyway: publish it again with the same id.
		log.Fatal(err)
	}

	if os.Getenv("WAIT") != "" {
		// The SDK does not tell the partition: it is that of the key.
		key := murmur2{[]byte(mentorID)}
		partition := int32(key.Sum32() % uint32(len(ends)))
		outcome, err := await(client, dispatches, partition, ends[partition], dispatchID(eventID, mentorID))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(outcome)
	}
}

func publish(client sarama.Client, topic, mentorID, eventID string) error {
	sender, err := kafka_sarama.NewSenderFromClient(client, topic)
	if err != nil {
		return err
	}
	defer sender.Close(context.Background())
	events, err := cloudevents.NewClient(sender)
	if err != nil {
		return err
	}

	event := cloudevents.NewEvent()
	event.SetID(eventID) // always the same for one event, and never for another
	event.SetSource(source)
	event.SetType("mentor.pause.activated.v1")
	event.SetTime(time.Now().UTC().Truncate(time.Second))
	err = event.SetData(cloudevents.ApplicationJSON, map[string]string{
		"mentor_id":            mentorID,
		"expected_return_date": "2026-05-01T00:00:00Z",
		"pause_reason":         "personal_leave",
	})
	if err != nil {
		return err
	}

	// Without this, or the extension partitionkey, the record has no key.
	ctx := kafka_sarama.WithMessageKey(context.Background(), sarama.StringEncoder(mentorID))
	if result := events.Send(ctx, event); !cloudevents.IsACK(result) {
		return result
	}
	return nil
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true // retries neither duplicate nor reorder; needs one open request
	config.Net.MaxOpenRequests = 1
	config.Producer.Return.Successes = true
	config.Producer.Timeout = 10 * time.Second
	// Sarama's own partitioners choose other partitions than Java's.
	config.Producer.Partitioner = sarama.NewCustomPartitioner(
		sarama.WithAbsFirst(),
		sarama.WithCustomHashFunction(func() hash.Hash32 { return &murmur2{} }),
	)
	return config
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
