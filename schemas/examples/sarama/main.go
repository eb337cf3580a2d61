// Publish that a mentor's pause was activated: go run . BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
package main

import (
	"encoding/json"
	"fmt"
	"hash"
	"log"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
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
	topic, dispatches := setting("TOPIC", "mentor.pauses.v1"), setting("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1")
	ends, err := endOffsets(client, dispatches)
	if err != nil {
		log.Fatal(err)
	}

	partition, offset, err := publish(client, topic, mentorID, eventID)
	if err != nil {
		// The event may have been written anyway: publish it again with the same id.
		log.Fatal(err)
	}
	fmt.Printf("%s-%d-%d\n", topic, partition, offset)

	if os.Getenv("WAIT") != "" {
		outcome, err := await(client, dispatches, partition, ends[partition], dispatchID(eventID, mentorID))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(outcome)
	}
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true // retries neither duplicate nor reorder; needs one open request
	config.Net.MaxOpenRequests = 1
	config.Producer.Return.Successes = true
	config.Producer.Timeout = 10 * time.Second
	// Sarama's own partitioners, the reference one included, choose other partitions than Java's.
	config.Producer.Partitioner = sarama.NewCustomPartitioner(
		sarama.WithAbsFirst(),
		sarama.WithCustomHashFunction(func() hash.Hash32 { return &murmur2{} }),
	)
	return config
}

func publish(client sarama.Client, topic, mentorID, eventID string) (int32, int64, error) {
	producer, err := sarama.NewSyncProducerFromClient(client)
	if err != nil {
		return 0, 0, err
	}
	data, err := json.Marshal(map[string]string{
		"mentor_id":            mentorID,
		"expected_return_date": "2026-05-01T00:00:00Z",
		"pause_reason":         "personal_leave",
	})
	if err != nil {
		return 0, 0, err
	}
	return producer.SendMessage(&sarama.ProducerMessage{
		Topic: topic,
		Key:   sarama.StringEncoder(mentorID),
		Value: sarama.ByteEncoder(data),
		Headers: []sarama.RecordHeader{
			{Key: []byte("ce_specversion"), Value: []byte("1.0")},
			{Key: []byte("ce_id"), Value: []byte(eventID)}, // always the same for one event, and never for another
			{Key: []byte("ce_source"), Value: []byte(source)},
			{Key: []byte("ce_type"), Value: []byte("mentor.pause.activated.v1")},
			{Key: []byte("ce_time"), Value: []byte(time.Now().UTC().Format(time.RFC3339))},
			{Key: []byte("content-type"), Value: []byte("application/json")},
		},
	})
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
