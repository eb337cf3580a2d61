package main

// What became of an event's e-mails: leave this file out if you need no outcome.

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"github.com/IBM/sarama"
)

// endOffsets returns where the dispatches end now: what becomes of the event comes after that.
func endOffsets(client sarama.Client, topic string) (map[int32]int64, error) {
	ends := map[int32]int64{}
	if os.Getenv("WAIT") == "" {
		return ends, nil
	}
	partitions, err := client.Partitions(topic)
	for _, partition := range partitions {
		if err == nil {
			ends[partition], err = client.GetOffset(topic, partition, sarama.OffsetNewest)
		}
	}
	return ends, err
}

// await returns the final record of a dispatch: what became of the e-mails.
func await(client sarama.Client, topic string, partition int32, from int64, id string) (string, error) {
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return "", err
	}
	reading, err := consumer.ConsumePartition(topic, partition, from)
	if err != nil {
		return "", err
	}
	late := time.After(40 * time.Second)
	for {
		select {
		case record := <-reading.Messages():
			if string(record.Key) == id && isFinal(record) {
				return string(record.Value), nil
			}
		case <-late:
			return "", errors.New("no outcome in time")
		}
	}
}

func isFinal(record *sarama.ConsumerMessage) bool {
	for _, header := range record.Headers {
		if string(header.Key) == "pn_final" {
			return true
		}
	}
	return false
}

// dispatchID returns the id of all that one event leads to.
func dispatchID(eventID, mentorID string) string {
	sum := sha256.Sum256([]byte(source + "\x00" + eventID + "\x00" + mentorID))
	return hex.EncodeToString(sum[:])[:32]
}
