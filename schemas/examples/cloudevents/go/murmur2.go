package main

import "encoding/binary"

// murmur2 is Kafka's variant of the hash, as Java's default partitioner computes it: copy this file.
type murmur2 struct{ key []byte }

func (m *murmur2) Write(part []byte) (int, error) {
	m.key = append(m.key, part...)
	return len(part), nil
}
func (m *murmur2) Sum(b []byte) []byte { return binary.BigEndian.AppendUint32(b, m.Sum32()) }
func (m *murmur2) Reset()              { m.key = nil }
func (m *murmur2) Size() int           { return 4 }
func (m *murmur2) BlockSize() int      { return 4 }

func (m *murmur2) Sum32() uint32 {
	const factor = 0x5bd1e995
	hash, rest := 0x9747b28c^uint32(len(m.key)), m.key
	for ; len(rest) >= 4; rest = rest[4:] {
		word := binary.LittleEndian.Uint32(rest) * factor
		hash = hash*factor ^ (word^word>>24)*factor
	}
	for place, last := range rest {
		hash ^= uint32(last) << (8 * place)
	}
	if len(rest) > 0 {
		hash *= factor
	}
	hash = (hash ^ hash>>13) * factor
	return (hash ^ hash>>15) & 0x7fffffff // Java takes the sign bit away, and Sarama would negate it
}
