package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// `never` lasts until an operator ends it. No message says when, so the device tries at this interval.
const neverWait = time.Hour

// message is the envelope of all messages, in both directions.
type message struct {
	Type         string          `json:"type"`
	MessageID    string          `json:"message_id"`
	Version      int             `json:"version"`
	Sent         string          `json:"sent"`
	Expires      string          `json:"expires,omitempty"`
	InResponseTo *string         `json:"in_response_to,omitempty"`
	Directive    string          `json:"directive,omitempty"`
	Payload      json.RawMessage `json:"payload,omitempty"`
}

// envelope ("Envelope") writes a message. A payload is anything that can be written as JSON, or nil for none.
func envelope(messageType string, inResponseTo *string, payload any) (id string, text []byte) {
	written := message{Type: messageType, MessageID: newUUID(), Version: 1, Sent: time.Now().UTC().Format(time.RFC3339Nano), InResponseTo: inResponseTo}
	if payload != nil {
		written.Payload = mustJSON(payload)
	}
	return written.MessageID, mustJSON(written)
}

func mustJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// depthOf says how many levels deep a JSON text nests.
func depthOf(text []byte) (deepest int) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	for depth := 0; ; deepest = max(deepest, depth) {
		token, err := decoder.Token()
		if err != nil {
			return deepest // The end.
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // It never fails.
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var duration = regexp.MustCompile(`^P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?)$`)

// waitOf says how long to stay away, from `reconnect_after` or `retry_after`: a duration such as PT30S, a time, or `never`. It is 0 if
// the text is absent or cannot be read: the service refuses a handshake that is too early. A time counts from `sent`, by the clock of the
// service: the clock of the device may be wrong.
func waitOf(text, sent string) time.Duration {
	if text == "never" {
		return neverWait
	}
	if parts := duration.FindStringSubmatch(text); parts != nil {
		var seconds float64
		for i, unit := range []float64{7 * 86400, 86400, 3600, 60, 1} {
			number, _ := strconv.ParseFloat(parts[i+1], 64) // An absent part is 0.
			seconds += number * unit
		}
		return time.Duration(math.Min(seconds*float64(time.Second), math.MaxInt64/2))
	}
	until, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0
	}
	from, err := time.Parse(time.RFC3339, sent)
	if err != nil {
		from = time.Now()
	}
	return max(0, until.Sub(from))
}
