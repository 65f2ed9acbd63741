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
	"cmp"
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
	"sync"
	"sync/atomic"
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
	// "Connecting": an answer that nobody got (PUBACK 0x10) is sent again after so long, twice as long each time.
	noSubscribers = 0x10
	firstRepeat   = time.Second
	longestRepeat = time.Minute
	// "Envelope": the service takes no larger answer (MAX_INBOUND_BYTES), and shows so many characters of an error.
	maxAnswerBytes = 262_144
	maxDetails     = 1000
	// An answer may nest so many levels deep; its envelope is one.
	maxDepth = 32
	// How many messages the broker sends before the first of them has its PUBACK.
	receiveMaximum = 100
	// How long it waits for an acknowledgement, a goodbye for all of them, and the end of the program for work.
	packetTimeout  = 20 * time.Second
	goodbyeTimeout = 10 * time.Second
	workTimeout    = 10 * time.Second
)

// perform does what a message asks, and returns the payload of the answer. With an error the message becomes `failed`. It runs in a
// goroutine of its own, for one message at a time, and may take as long as it needs. The context ends when the device has to stop: 10
// seconds later it gives up what is not done.
func perform(ctx context.Context, request message, progress func(percent int, details string)) (any, error) {
	switch request.Directive {
	case "demo:ping":
		return map[string]any{"pong": request.Payload}, nil
	case "demo:work":
		payload := struct{ Steps int }{2}
		_ = json.Unmarshal(request.Payload, &payload) // Without a number of steps there are two.
		payload.Steps = min(payload.Steps, 100)
		for step := range payload.Steps {
			progress(100*step/payload.Steps, fmt.Sprintf("step %d of %d", step+1, payload.Steps))
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, errors.New("the device stops")
			}
		}
		return map[string]any{"steps": payload.Steps}, nil
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
	handshakeID           string
	online                atomic.Pointer[paho.Client] // of the connection that has sent its handshake
	jobs                  chan func(context.Context)  // what waits to be done by work()
	waiting               sync.Map                    // the ids of the messages that wait or are at work
	repeats               sync.Map                    // the ids of the answers that wait to be sent again
	gaveUp                bool                        // at its end: work that was not done in time
	// An answer is stored before the connection takes over what is unsent, or is sent on it: not both.
	handover sync.Mutex
}

// work does the jobs, also while there is no connection.
func (d *device) work(ctx context.Context) {
	for job := range d.jobs {
		job(ctx)
	}
}

// finishWork waits until the jobs that are there now are done, or have lasted too long.
func (d *device) finishWork() {
	if d.gaveUp {
		return
	}
	timeout := time.After(workTimeout)
	finished := make(chan struct{})
	select {
	case d.jobs <- func(context.Context) { close(finished) }:
		select {
		case <-finished:
			return
		case <-timeout:
		}
	case <-timeout:
	}
	d.gaveUp = true
	log.Printf("work was not done in %s", workTimeout)
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
			d.losses++
			if d.handshakeID == "" {
				d.losses = 0 // Between two programs with one client id each attempt succeeds.
			}
			if d.losses > 1 {
				log.Print("it ended soon after connecting, again: if the broker was not restarted, is there another program with the same client id?")
			}
		}
		select {
		case <-time.After(wait + d.nextPause()):
		case <-ctx.Done():
			d.finishWork()
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
	address := func(port string) string { return net.JoinHostPort(d.url.Hostname(), cmp.Or(d.url.Port(), port)) }
	if d.url.Scheme != "mqtts" {
		return net.DialTimeout("tcp", address("1883"), packetTimeout)
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: packetTimeout}, "tcp", address("8883"), nil)
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
	asked := make(chan request, receiveMaximum)
	ended := make(chan error, 2)
	client := paho.NewClient(paho.ClientConfig{
		ClientID:      d.id,
		Conn:          conn,
		PacketTimeout: packetTimeout,
		// A PUBACK is sent when its message is done. So the receive maximum limits what waits, and `asked` is never full.
		EnableManualAcknowledgment: true,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){func(publish paho.PublishReceived) (bool, error) {
			d.receive(publish, asked)
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
	if _, err := client.Connect(ctx, connect); err != nil {
		return 0, err
	}
	d.connectedAt = time.Now()
	subscription := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: d.outTopic, QoS: 1}}}
	granted, err := client.Subscribe(ctx, subscription)
	if err != nil {
		return 0, errors.Join(err, disconnect(client))
	}
	if granted.Reasons[0] == 0 {
		log.Print("the broker grants QoS 0 only: messages may be lost")
	}
	handshakeID, handshake := envelope("host-handshake", nil, map[string]any{
		"canonical_facts": map[string]any{"fqdn": d.id + ".example.com", "ip_addresses": []string{"192.0.2.1"}},
	})
	if _, err := d.publish(context.Background(), client, handshake, true); err != nil {
		return 0, errors.Join(err, disconnect(client))
	}
	d.handshakeID = handshakeID
	log.Print("connected")
	d.handover.Lock()
	unsent := d.answers.unsent()
	d.online.Store(client)
	d.handover.Unlock()
	defer d.online.Store(nil)
	for _, answer := range unsent {
		d.sendAnswer(client, answer, firstRepeat)
	}
	for {
		select {
		case one := <-asked:
			one.ack()
			if leave, wait := d.waitAsked(one.message); leave {
				return wait, d.sayGoodbye(client)
			}
		case err := <-ended:
			return 0, err
		case <-ctx.Done():
			d.finishWork()
			return 0, d.sayGoodbye(client)
		}
	}
}

// publish waits for the PUBACK. A PUBACK with an error is an error; `received` is false if nobody got the message.
func (d *device) publish(ctx context.Context, client *paho.Client, text []byte, retain bool) (received bool, err error) {
	response, err := client.Publish(ctx, &paho.Publish{Topic: d.inTopic, Payload: text, QoS: 1, Retain: retain})
	return response == nil || response.ReasonCode != noSubscribers, err
}

// request is a message of the service, and how to acknowledge it.
type request struct {
	message
	ack func()
}

// receive passes a message on: one of an application to work(), others to the connection. It must not wait.
func (d *device) receive(publish paho.PublishReceived, asked chan<- request) {
	one := request{ack: func() {
		if err := publish.Client.Ack(publish.Packet); err != nil {
			log.Printf("PUBACK: %v", err)
		}
	}}
	if json.Unmarshal(publish.Packet.Payload, &one.message) != nil || one.Version != 1 {
		one.ack() // "What a client must do", 7
		return
	}
	if one.Type != "message" {
		asked <- one
		return
	}
	// A repeat of what is at work is answered when that is done.
	if _, atWork := d.waiting.LoadOrStore(one.MessageID, true); atWork || one.MessageID == "" {
		one.ack()
		return
	}
	select {
	case d.jobs <- func(ctx context.Context) { d.handle(one, func() string { return d.answerTo(ctx, one.message) }) }:
	default:
		// Messages of earlier connections wait. The receive maximum limits how many of these there are.
		go d.handle(one, func() string { return errorAnswer(one.MessageID, "too many messages wait for their work") })
	}
}

// waitAsked: the service asks the device to leave, and to stay away for the time.
func (d *device) waitAsked(received message) (leave bool, wait time.Duration) {
	var payload struct {
		Details        string `json:"details"`
		RetryAfter     string `json:"retry_after"`
		ReconnectAfter string `json:"reconnect_after"`
	}
	switch received.Type {
	case "force-disconnect":
		_ = json.Unmarshal(received.Payload, &payload) // What cannot be read is absent.
		log.Printf("asked to disconnect, and to reconnect after %s", payload.ReconnectAfter)
		d.attempts = 0
		return true, max(waitOf(payload.ReconnectAfter, received.Sent), shortestPause)
	case "handshake-error":
		// "handshake-error", 1: one about an earlier handshake is late.
		if received.InResponseTo != nil && *received.InResponseTo != d.handshakeID {
			return false, 0
		}
		_ = json.Unmarshal(received.Payload, &payload)
		log.Printf("handshake refused: %s", payload.Details)
		return true, max(waitOf(payload.RetryAfter, received.Sent), shortestPause)
	}
	return false, 0
}

// handle ("What a client must do", 4) does a message once, and sends the same answer each time that the message comes.
func (d *device) handle(one request, answer func() string) {
	defer one.ack()
	defer d.waiting.Delete(one.MessageID)
	found, known := d.answers.get(one.MessageID)
	if !known {
		log.Printf("message %s %s", one.Directive, one.Payload)
		found = entry{ID: one.MessageID, Until: rememberUntil(one.message), Answer: answer(), Unsent: true}
	}
	d.handover.Lock()
	if known {
		d.answers.mark(found.ID, true)
	} else {
		// Before it is sent: a crash between the two must not do the message again.
		d.answers.put(found)
	}
	client := d.online.Load()
	d.handover.Unlock()
	d.sendAnswer(client, found, firstRepeat)
}

func (d *device) answerTo(ctx context.Context, request message) string {
	payload, err := perform(ctx, request, func(percent int, details string) {
		_, text := envelope("message-progress", &request.MessageID, map[string]any{"percent": percent, "details": details})
		if client := d.online.Load(); client != nil {
			if _, err := d.publish(context.Background(), client, text, false); err != nil {
				log.Printf("progress: %v", err)
			}
		}
	})
	if err == nil {
		_, err = json.Marshal(payload) // NaN is no JSON.
	}
	if err != nil {
		return errorAnswer(request.MessageID, err.Error())
	}
	_, text := envelope("message-response", &request.MessageID, payload)
	if len(text) > maxAnswerBytes {
		return errorAnswer(request.MessageID, fmt.Sprintf("the answer has %d bytes, and may have %d", len(text), maxAnswerBytes))
	}
	if depthOf(text) > maxDepth {
		return errorAnswer(request.MessageID, fmt.Sprintf("the answer nests deeper than %d levels", maxDepth))
	}
	return string(text)
}

func errorAnswer(messageID, details string) string {
	_, text := envelope("message-error", &messageID, map[string]any{"details": fmt.Sprintf("%.*s", maxDetails, details)})
	return string(text)
}

// sendAnswer: what has no PUBACK, or one with an error, is sent again after the next handshake; what nobody got, after the pause too.
func (d *device) sendAnswer(client *paho.Client, answer entry, pause time.Duration) {
	if client == nil || client != d.online.Load() {
		return
	}
	received, err := d.publish(context.Background(), client, []byte(answer.Answer), false)
	if err != nil {
		log.Printf("answer: %v", err)
		return
	}
	if received {
		d.answers.mark(answer.ID, false)
	} else if answer.Until > unixSeconds(time.Now()) {
		d.sendLater(answer, pause)
	}
}

// sendLater: each answer waits once, however often it was sent.
func (d *device) sendLater(answer entry, pause time.Duration) {
	if _, waits := d.repeats.LoadOrStore(answer.ID, true); waits {
		return
	}
	time.AfterFunc(pause, func() {
		d.repeats.Delete(answer.ID)
		if d.answers.isUnsent(answer.ID) {
			d.sendAnswer(d.online.Load(), answer, min(2*pause, longestRepeat))
		}
	})
}

// sayGoodbye ("What a client must do", 6) publishes `offline`, then the empty retained message, each with its PUBACK; then DISCONNECT.
func (d *device) sayGoodbye(client *paho.Client) error {
	d.online.Store(nil) // Nothing new is published after it.
	ctx, cancel := context.WithTimeout(context.Background(), goodbyeTimeout)
	defer cancel()
	_, offline := envelope("offline", nil, nil)
	_, err := d.publish(ctx, client, offline, false)
	if err == nil {
		_, err = d.publish(ctx, client, nil, true)
	}
	log.Print("disconnected")
	return errors.Join(err, disconnect(client))
}

func disconnect(client *paho.Client) error { return client.Disconnect(&paho.Disconnect{ReasonCode: 0}) }

func setting(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }

func main() {
	id := setting("CLIENT_ID", "device-"+newUUID())
	log.SetPrefix(id + ": ")
	log.SetFlags(log.Lmsgprefix)
	broker, err := url.Parse(setting("MQTT_URL", "mqtt://127.0.0.1:1883"))
	if err != nil || broker.Host == "" {
		log.Fatal("MQTT_URL is not of the form mqtt://host:port")
	}
	stored, err := loadAnswers(filepath.Join(setting("STATE_DIR", "."), id+".answers.json"))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	one := &device{id: id, inTopic: "redhat/insights/in/" + id, outTopic: "redhat/insights/out/" + id, url: broker, answers: stored}
	one.jobs = make(chan func(context.Context), receiveMaximum)
	go one.work(ctx)
	one.run(ctx)
	stored.save()
}
