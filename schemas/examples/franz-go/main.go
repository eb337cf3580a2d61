// Publish that a mentor's pause was activated: go run . BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const source = "/mentoring/pauses"

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: publish BOOTSTRAP_SERVERS MENTOR_ID EVENT_ID")
		os.Exit(2)
	}
	servers, mentorID, eventID := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()

	ends, err := endOffsets(ctx, servers)
	if err != nil {
		log.Fatal(err)
	}
	record, err := publish(ctx, servers, mentorID, eventID)
	if err != nil {
		// The event may have been written anyway: publish it again with the same id.
		log.Fatal(err)
	}
	fmt.Printf("%s-%d-%d\n", record.Topic, record.Partition, record.Offset)

	if os.Getenv("WAIT") != "" {
		outcome, err := await(ctx, servers, dispatchID(eventID, mentorID), record.Partition, ends[record.Partition])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(outcome)
	}
}

func publish(ctx context.Context, servers []string, mentorID, eventID string) (*kgo.Record, error) {
	// The defaults are right: murmur2 of the key, acks of all in-sync replicas, retries that neither duplicate nor reorder.
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.RecordDeliveryTimeout(30*time.Second))
	if err != nil {
		return nil, err
	}
	defer client.Close()

	data, err := json.Marshal(map[string]string{
		"mentor_id":            mentorID,
		"expected_return_date": "2026-05-01T00:00:00Z",
		"pause_reason":         "personal_leave",
	})
	if err != nil {
		return nil, err
	}
	return client.ProduceSync(ctx, &kgo.Record{
		Topic: setting("TOPIC", "mentor.pauses.v1"),
		Key:   []byte(mentorID),
		Value: data,
		Headers: []kgo.RecordHeader{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte(eventID)}, // always the same for one event, and never for another
			{Key: "ce_source", Value: []byte(source)},
			{Key: "ce_type", Value: []byte("mentor.pause.activated.v1")},
			{Key: "ce_time", Value: []byte(time.Now().UTC().Format(time.RFC3339))},
			{Key: "content-type", Value: []byte("application/json")},
		},
	}).First()
}

// endOffsets returns where the dispatches end now: what becomes of the event comes after that.
func endOffsets(ctx context.Context, servers []string) (map[int32]int64, error) {
	ends := map[int32]int64{}
	if os.Getenv("WAIT") == "" {
		return ends, nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	listed, err := kadm.NewClient(client).ListEndOffsets(ctx, dispatches())
	listed.Each(func(end kadm.ListedOffset) { ends[end.Partition] = end.Offset })
	return ends, errors.Join(err, listed.Error())
}

// await returns the final record of a dispatch: what became of the e-mails.
func await(ctx context.Context, servers []string, id string, partition int32, end int64) (string, error) {
	from := map[string]map[int32]kgo.Offset{dispatches(): {partition: kgo.NewOffset().At(end)}}
	client, err := kgo.NewClient(kgo.SeedBrokers(servers...), kgo.ConsumePartitions(from))
	if err != nil {
		return "", err
	}
	defer client.Close()
	for {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err0(); err != nil {
			return "", fmt.Errorf("no outcome in time: %w", err)
		}
		for _, record := range fetched.Records() {
			if string(record.Key) == id && isFinal(record) {
				return string(record.Value), nil
			}
		}
	}
}

func isFinal(record *kgo.Record) bool {
	for _, header := range record.Headers {
		if header.Key == "pn_final" {
			return true
		}
	}
	return false
}

func dispatchID(eventID, mentorID string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + eventID + "\x00" + mentorID))
	return hex.EncodeToString(sum[:])[:32]
}

func dispatches() string { return setting("DISPATCHES_TOPIC", "pause-notifications.dispatches.v1") }

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
