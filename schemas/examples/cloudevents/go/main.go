// Publish that a mentor's pause was activated: go run . BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
package main

import (
	"context"
	"hash"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
	"github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
)

func main() {
	servers, mentorID, eventID := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3]
	topic := os.Getenv("TOPIC")
	if topic == "" {
		topic = "mentor.pauses.v1"
	}
	sender, err := kafka_sarama.NewSender(servers, config(), topic)
	if err != nil {
		log.Fatal(err)
	}
	defer sender.Close(context.Background())
	client, err := cloudevents.NewClient(sender)
	if err != nil {
		log.Fatal(err)
	}

	event := cloudevents.NewEvent()
	event.SetID(eventID) // always the same for one event, and never for another
	event.SetSource("/mentoring/pauses")
	event.SetType("mentor.pause.activated.v1")
	event.SetTime(time.Now().UTC().Truncate(time.Second))
	err = event.SetData(cloudevents.ApplicationJSON, map[string]string{
		"mentor_id":            mentorID,
		"expected_return_date": "2026-05-01T00:00:00Z",
		"pause_reason":         "personal_leave",
	})
	if err != nil {
		log.Fatal(err)
	}

	// Without this, or the extension partitionkey, the record has no key.
	ctx := kafka_sarama.WithMessageKey(context.Background(), sarama.StringEncoder(mentorID))
	if result := client.Send(ctx, event); !cloudevents.IsACK(result) {
		// The event may have been written anyway: publish it again with the same id.
		log.Fatal(result)
	}
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
