// A device that stays connected to Cloud Connector. Copy the folder and put your own work into perform().
//
//	MQTT_URL=mqtt://127.0.0.1:1883 CLIENT_ID=my-host go run .
//
// MQTT_URL may carry a user and a password: mqtts://user:password@broker.example.com:8883. With mqtts the certificate is checked
// against the authorities of the system, or those in the file that SSL_CERT_FILE names. STATE_DIR is the folder of the answers.
//
// Sections in the comments are those of docs/protocol.md.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
)

const (
	keepAliveSeconds = 60
	// "Connecting": the longest pause before the first reconnect, and before any. It doubles with each attempt.
	firstPause   = 2 * time.Second
	longestPause = 2 * time.Minute
	// After a connection that lasted so long, the pauses begin with the first one again.
	healthyAfter = time.Minute
	// After a refused handshake and a forced disconnect the device stays away at least so long.
	shortestPause = time.Second
	// How many messages may come before the first of them is answered.
	receiveMaximum = 100
	// How long it waits for an acknowledgement, and a goodbye for all of them.
	packetTimeout  = 20 * time.Second
	goodbyeTimeout = 10 * time.Second
)

// perform does what a message asks, and returns the payload of the answer. With an error the message becomes `failed`.
func perform(request message, progress func(percent int, details string)) (any, error) {
	switch request.Directive {
	case "demo:ping":
		return map[string]any{"pong": request.Payload}, nil
	case "demo:work":
		progress(50, "half of it is done")
		return map[string]any{"done": true}, nil
	}
	return nil, fmt.Errorf("this device cannot do %s; it can do demo:ping and demo:work", request.Directive)
}

type device struct {
	id, inTopic, outTopic string
	url                   *url.URL
	answers               *answers
	attempts              int // failed ones: each makes the next pause longer
	connectedAt           time.Time
	losses                int // connections in a row that ended soon
	client                *paho.Client
	handshakeID           string
}

// run connects again and again, until the context is done.
func (d *device) run(ctx context.Context) {
	for ctx.Err() == nil {
		d.connectedAt, d.handshakeID = time.Time{}, ""
		wait, err := d.connectOnce(ctx)
		if !d.connectedAt.IsZero() && time.Since(d.connectedAt) > healthyAfter {
			d.attempts, d.losses = 0, 0
		}
		if err != nil {
			log.Printf("the connection has ended: %v", err)
			if d.handshakeID != "" {
				d.losses++
			}
			if d.losses > 1 {
				log.Print("it ended soon after connecting, again: is there another program with the same client id?")
			}
		}
		select {
		case <-time.After(wait + d.nextPause()):
		case <-ctx.Done():
		}
	}
}

// nextPause ("Connecting") is random, so that many devices do not come back at the same moment.
func (d *device) nextPause() time.Duration {
	longest := min(longestPause, firstPause<<min(d.attempts, 10))
	d.attempts++
	return mathrand.N(longest)
}

func (d *device) dial() (net.Conn, error) {
	port := d.url.Port()
	if d.url.Scheme != "mqtts" {
		if port == "" {
			port = "1883"
		}
		return net.DialTimeout("tcp", net.JoinHostPort(d.url.Hostname(), port), packetTimeout)
	}
	if port == "" {
		port = "8883"
	}
	dialer := &net.Dialer{Timeout: packetTimeout}
	conn, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort(d.url.Hostname(), port), nil)
	if err != nil {
		return nil, err
	}
	return packets.NewThreadSafeConn(conn), nil
}

// connectOnce returns when the connection has ended, with how long to stay away. Each connection has a client of its own, so that
// nothing of the last one is published before the subscription.
func (d *device) connectOnce(ctx context.Context) (time.Duration, error) {
	conn, err := d.dial()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	received := make(chan []byte, receiveMaximum)
	ended := make(chan error, 2)
	d.client = paho.NewClient(paho.ClientConfig{
		ClientID:      d.id,
		Conn:          conn,
		PacketTimeout: packetTimeout,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(publish paho.PublishReceived) (bool, error) {
			received <- publish.Packet.Payload
			return true, nil
		}},
		OnClientError:      func(err error) { ended <- err },
		OnServerDisconnect: func(packet *paho.Disconnect) { ended <- fmt.Errorf("the broker disconnects: 0x%x", packet.ReasonCode) },
	})
	// The broker publishes the will if this device vanishes; it replaces the retained handshake.
	_, offline := envelope("offline", nil, nil)
	maximum := uint16(receiveMaximum)
	connect := &paho.Connect{
		ClientID:    d.id,
		CleanStart:  true,
		KeepAlive:   keepAliveSeconds,
		Properties:  &paho.ConnectProperties{ReceiveMaximum: &maximum},
		WillMessage: &paho.WillMessage{Topic: d.inTopic, Payload: offline, QoS: 1, Retain: true},
	}
	if user := d.url.User; user != nil {
		password, given := user.Password()
		connect.UsernameFlag, connect.Username = true, user.Username()
		connect.PasswordFlag, connect.Password = given, []byte(password)
	}
	// "What a client must do", 2 and 3: subscribe, wait for the SUBACK, then publish the handshake.
	if _, err := d.client.Connect(ctx, connect); err != nil {
		return 0, err
	}
	d.connectedAt = time.Now()
	subscription := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: d.outTopic, QoS: 1}}}
	if _, err := d.client.Subscribe(ctx, subscription); err != nil {
		return 0, err
	}
	handshakeID, handshake := envelope("host-handshake", nil, map[string]any{
		"canonical_facts": map[string]any{"fqdn": d.id + ".example.com", "ip_addresses": []string{"192.0.2.1"}},
	})
	d.handshakeID = handshakeID
	if err := d.publish(context.Background(), handshake, true); err != nil {
		return 0, err
	}
	log.Print("connected")
	for _, answer := range d.answers.unsent() {
		if err := d.sendAnswer(answer); err != nil {
			return 0, err
		}
	}
	for {
		select {
		case text := <-received:
			leave, wait, err := d.receive(text)
			if err != nil {
				return wait, err
			}
			if leave {
				return wait, d.sayGoodbye()
			}
		case err := <-ended:
			return 0, err
		case <-ctx.Done():
			return 0, d.sayGoodbye()
		}
	}
}

// publish waits for the PUBACK.
func (d *device) publish(ctx context.Context, text []byte, retain bool) error {
	_, err := d.client.Publish(ctx, &paho.Publish{Topic: d.inTopic, Payload: text, QoS: 1, Retain: retain})
	return err
}

// receive handles one message. leave: the service asks the device to go, and to stay away for the time.
func (d *device) receive(text []byte) (leave bool, wait time.Duration, err error) {
	var received message
	if json.Unmarshal(text, &received) != nil {
		return false, 0, nil // "What a client must do", 7
	}
	var payload struct {
		Details        string `json:"details"`
		RetryAfter     string `json:"retry_after"`
		ReconnectAfter string `json:"reconnect_after"`
	}
	switch received.Type {
	case "message":
		return false, 0, d.handle(received)
	case "force-disconnect":
		_ = json.Unmarshal(received.Payload, &payload) // What cannot be read is absent.
		log.Printf("asked to disconnect, and to reconnect after %s", payload.ReconnectAfter)
		d.attempts = 0
		return true, max(waitOf(payload.ReconnectAfter, received.Sent), shortestPause), nil
	case "handshake-error":
		// "handshake-error", 1: one about an earlier handshake is late.
		if received.InResponseTo != nil && *received.InResponseTo != d.handshakeID {
			return false, 0, nil
		}
		_ = json.Unmarshal(received.Payload, &payload)
		log.Printf("handshake refused: %s", payload.Details)
		return true, max(waitOf(payload.RetryAfter, received.Sent), shortestPause), nil
	}
	return false, 0, nil
}

// handle ("What a client must do", 4) does a message once, and sends the same answer each time that the message comes.
func (d *device) handle(request message) error {
	answer := d.answers.get(request.MessageID)
	if answer == nil {
		log.Printf("message %s %s", request.Directive, request.Payload)
		answer = &entry{ID: request.MessageID, Until: rememberUntil(request), Answer: d.answerTo(request), Unsent: true}
		// Before it is sent: a crash between the two must not do the message again.
		d.answers.put(answer)
	}
	return d.sendAnswer(answer)
}

func (d *device) answerTo(request message) string {
	payload, err := perform(request, func(percent int, details string) {
		_, text := envelope("message-progress", &request.MessageID, map[string]any{"percent": percent, "details": details})
		if err := d.publish(context.Background(), text, false); err != nil {
			log.Printf("progress: %v", err)
		}
	})
	if err != nil {
		_, text := envelope("message-error", &request.MessageID, map[string]any{"details": err.Error()})
		return string(text)
	}
	_, text := envelope("message-response", &request.MessageID, payload)
	return string(text)
}

func (d *device) sendAnswer(answer *entry) error {
	answer.Unsent = true
	if err := d.publish(context.Background(), []byte(answer.Answer), false); err != nil {
		return err
	}
	answer.Unsent = false
	return nil
}

// sayGoodbye ("What a client must do", 6) publishes `offline`, then the empty retained message, each with its PUBACK; then DISCONNECT.
func (d *device) sayGoodbye() error {
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	_, offline := envelope("offline", nil, nil)
	err := d.publish(ctx, offline, false)
	if err == nil {
		err = d.publish(ctx, nil, true)
	}
	log.Print("disconnected")
	return errors.Join(err, d.client.Disconnect(&paho.Disconnect{ReasonCode: 0}))
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	id := setting("CLIENT_ID", "device-"+newUUID())
	log.SetPrefix(id + ": ")
	log.SetFlags(log.Lmsgprefix)
	broker, err := url.Parse(setting("MQTT_URL", "mqtt://127.0.0.1:1883"))
	if err != nil {
		log.Fatal(err)
	}
	stored, err := loadAnswers(filepath.Join(setting("STATE_DIR", "."), id+".answers.json"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	one := &device{id: id, inTopic: "redhat/insights/in/" + id, outTopic: "redhat/insights/out/" + id, url: broker, answers: stored}
	one.run(ctx)
	stored.save()
}
