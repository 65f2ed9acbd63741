"""
A device that stays connected to Cloud Connector. Copy it and put your own work into perform().

    MQTT_URL=mqtt://127.0.0.1:1883 CLIENT_ID=my-host python3 device.py

MQTT_URL may carry a user and a password: mqtts://user:password@broker.example.com:8883. With mqtts the certificate is checked against
the authorities of the system, or those in the file that SSL_CERT_FILE names. STATE_DIR is the folder of the answers.

Needs one package: paho-mqtt, 1.6 or 2 (Debian: python3-paho-mqtt). Sections in the comments are those of docs/protocol.md.
"""

import json
import os
import queue
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
from datetime import datetime, timezone
from urllib.parse import unquote, urlsplit

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit(
        f"paho-mqtt is missing for this python3 ({sys.executable}): use a virtual environment "
        "(python3 -m venv .venv && .venv/bin/pip install paho-mqtt, then .venv/bin/python3) "
        "or, with Debian's package python3-paho-mqtt, /usr/bin/python3"
    )

KEEP_ALIVE_S = 60
# "Connecting": the longest pause before the first reconnect, and before any. It doubles with each attempt.
FIRST_PAUSE_S = 2
LONGEST_PAUSE_S = 120
# After a connection that lasted so long, the pauses begin with the first one again.
HEALTHY_S = 60
# After a refused handshake and a forced disconnect the device stays away at least so long.
SHORTEST_PAUSE_S = 1
# `never` lasts until an operator ends it. No message says when, so the device tries at this interval.
NEVER_S = 3600
# "message": an answer is remembered until its message has expired, and so much longer.
REMEMBER_S = 600
# How long a message of release 0.1.0 may live, which does not say when it expires.
LONGEST_LIFE_S = 30 * 86400
# With more answers than this, the device forgets the oldest.
MAX_ANSWERS = 1000
# "Envelope": the service takes no larger answer (MAX_INBOUND_BYTES), and shows so many characters of an error.
MAX_ANSWER_BYTES = 262144
# An answer may nest so many levels deep; its envelope is one.
MAX_DEPTH = 32
MAX_DETAILS = 1000
# With more messages than this that wait for their work, the device refuses others.
MAX_WAITING = 1000
# "Connecting": an answer that nobody got (PUBACK 0x10) is sent again after so long, twice as long each time, up to the longest.
NO_SUBSCRIBERS = 0x10
FIRST_REPEAT_S = 1
LONGEST_REPEAT_S = 60
# How long it waits for CONNACK and SUBACK, a goodbye for its PUBACKs, and the end of the program for work.
ANSWER_S = 20
GOODBYE_S = 10
WORK_S = 10


def perform(message, progress, stopping):
    """
    Does what a message asks, and returns the payload of the answer. If it raises, the message becomes `failed`. It runs in a thread
    of its own, for one message at a time, and may take as long as it needs. `stopping`, a threading.Event, is set when the device has to
    stop: 10 seconds later it gives up what is not done.
    """
    if message.get("directive") == "demo:ping":
        return {"pong": message.get("payload")}
    if message.get("directive") == "demo:work":
        payload = message.get("payload")
        steps = min(100, payload.get("steps", 2)) if isinstance(payload, dict) else 2
        for step in range(steps):
            progress({"percent": 100 * step // steps, "details": f"step {step + 1} of {steps}"})
            if stopping.wait(1):
                raise RuntimeError("the device stops")
        return {"steps": steps}
    raise ValueError(f"this device cannot do {message.get('directive')}; it can do demo:ping and demo:work")


def envelope(message_type, **more):
    """ "Envelope" """
    sent = datetime.now(timezone.utc).isoformat()
    # NaN is no JSON.
    return json.dumps({"type": message_type, "message_id": str(uuid.uuid4()), "version": 1, "sent": sent, **more}, allow_nan=False)


def parse_time(text):
    return datetime.fromisoformat(re.sub("Z$", "+00:00", text)).timestamp()


def wait_of(text, sent=None):
    """
    How long to stay away, in seconds, from `reconnect_after` or `retry_after`: a duration such as PT30S, a time, or `never`. 0 if it is
    absent or cannot be read: the service refuses a handshake that is too early. A time counts from `sent`, by the clock of the service: the
    clock of the device may be wrong.
    """
    if text == "never":
        return NEVER_S
    parts = re.fullmatch(r"P(?:(\d+)W|(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?)", str(text))
    if parts:
        weeks, days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
        return (((weeks * 7 + days) * 24 + hours) * 60 + minutes) * 60 + seconds
    try:
        until = parse_time(str(text))
    except ValueError:
        return 0
    try:
        return max(0, until - parse_time(str(sent)))
    except ValueError:
        return max(0, until - time.time())


def remember_until(message):
    """Counted from the arrival of the message, so that the clock of the device may be wrong."""
    try:
        life = parse_time(message["expires"]) - parse_time(message["sent"])
    except (KeyError, TypeError, ValueError):
        life = LONGEST_LIFE_S
    return time.time() + max(0, life) + REMEMBER_S


class Answers:
    """
    The answers by the ids of their messages, in memory and in a file. The service may send a message twice, also after a restart. The
    file is a JSON array of {"id", "until" (seconds since 1970), "answer"}, the oldest first, in all example devices. `"unsent": true`: the
    answer has no PUBACK, so it is sent again after the next handshake, also by the next program. The service takes it once.
    """

    def __init__(self, path):
        self.path = path
        # By the id of the message; the oldest first.
        self.entries = {}
        try:
            with open(path, encoding="utf-8") as file:
                for entry in json.load(file):
                    if not isinstance(entry["id"], str) or not isinstance(entry["answer"], str):
                        raise ValueError("an id and an answer are strings")
                    self.entries[entry["id"]] = {**entry, "until": float(entry["until"])}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            sys.exit(f"{path} cannot be read: {error!r}; delete it, and repeats will be done again")
        try:
            with open(f"{path}.new", "w", encoding="utf-8"):
                os.remove(f"{path}.new")
        except OSError as error:
            sys.exit(f"{path} cannot be written: {error.strerror}; its folder must be one in which this program may write")

    def get(self, message_id):
        return self.entries[message_id]["answer"] if message_id in self.entries else None

    def until(self, message_id):
        return self.entries[message_id]["until"] if message_id in self.entries else 0

    def put(self, message_id, until, answer):
        self.entries[message_id] = {"id": message_id, "until": until, "answer": answer, "unsent": True}
        # A clock that jumps must not take away what was not sent.
        self.entries = {key: one for key, one in self.entries.items() if one.get("unsent") or one["until"] > time.time()}
        while len(self.entries) > MAX_ANSWERS:
            del self.entries[next(iter(self.entries))]
        self.save()

    def unsent(self):
        return [key for key, entry in self.entries.items() if entry.get("unsent")]

    def mark(self, message_id, unsent):
        """It is written with the next answer, or at the end: until then a crash only repeats an answer."""
        if message_id in self.entries:
            self.entries[message_id]["unsent"] = unsent

    def save(self):
        try:
            # Another file first: a crash leaves the old one or the new one.
            with open(f"{self.path}.new", "w", encoding="utf-8") as file:
                json.dump(list(self.entries.values()), file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{self.path}.new", self.path)
        except OSError as error:
            print(f"{self.path} cannot be written: {error.strerror}; after a restart a repeat would be done again", flush=True)


class Worker:
    """
    Does the work in a thread of its own, while the connection lives and when it is lost. paho's client belongs to the thread of the
    connection: that one takes the results, and is woken by a byte on `wake`.
    """

    def __init__(self, stopping):
        self.stopping = stopping
        # The ids of the messages that wait or are at work.
        self.ids = set()
        self.waiting = queue.Queue(MAX_WAITING)
        self.results = queue.Queue(MAX_WAITING)
        self.wake, self.alarm = socket.socketpair()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            message = self.waiting.get()
            self.hand_over(message, answer_to(message, lambda text: self.hand_over(message, text, is_answer=False), self.stopping))

    def hand_over(self, message, text, is_answer=True):
        self.results.put((message, text, is_answer))
        self.alarm.send(b".")

    def add(self, message):
        if self.waiting.full():
            return False
        self.ids.add(message["message_id"])
        self.waiting.put(message)
        return True

    def take(self):
        """The results that are there, each a message, a text, and whether that is the answer."""
        while not self.results.empty():
            self.wake.recv(1)
            message, text, is_answer = self.results.get()
            if is_answer:
                self.ids.discard(message["message_id"])
            yield message, text, is_answer


def is_deeper_than(levels, value):
    if not isinstance(value, (dict, list, tuple)):
        return False
    members = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(is_deeper_than(levels - 1, member) for member in members)


def answer_to(message, publish, stopping):
    about = {"in_response_to": message["message_id"]}
    try:
        result = perform(message, lambda payload: publish(envelope("message-progress", **about, payload=payload)), stopping)
        text = envelope("message-response", **about, payload=result)
        if len(text) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer has {len(text)} bytes, and may have {MAX_ANSWER_BYTES}")
        if is_deeper_than(MAX_DEPTH - 1, result):
            raise ValueError(f"the answer nests deeper than {MAX_DEPTH} levels")
        return text
    except Exception as error:
        return error_about(message, str(error))


def error_about(message, details):
    return envelope("message-error", in_response_to=message["message_id"], payload={"details": details[:MAX_DETAILS]})


class Device:
    def __init__(self, url, client_id, answers):
        self.url = urlsplit(url)
        if not self.url.hostname:
            sys.exit("MQTT_URL is not of the form mqtt://host:port")
        self.client_id = client_id
        self.answers = answers
        self.stopping = threading.Event()
        self.worker = Worker(self.stopping)
        self.in_topic = f"redhat/insights/in/{client_id}"
        self.out_topic = f"redhat/insights/out/{client_id}"
        # The end of the program waits for work until then.
        self.work_end = None
        # Failed attempts: each one makes the next pause longer.
        self.attempts = 0
        # When this connection got its SUBACK, and how many connections in a row ended soon after that.
        self.connected_at = None
        self.losses = 0
        self.client = None
        self.handshake_id = None
        # How long to stay away, once the service has asked the device to leave.
        self.wait = None
        # What this connection has published and the broker has not acknowledged, by packet id.
        self.in_flight = {}
        # The ids of the messages whose answers nobody got, when they are sent again, and the next pause.
        self.repeats = set()
        self.repeat_at = 0
        self.repeat_pause = FIRST_REPEAT_S

    def run(self):
        while not self.stopping.is_set():
            self.wait = None
            self.connected_at = None
            try:
                self.connect_once()
            except OSError as error:
                self.log(f"no connection: {error}")
                self.losses = 0
            self.handshake_id = None
            if self.connected_at is not None and time.monotonic() - self.connected_at > HEALTHY_S:
                self.attempts = 0
                self.losses = 0
            self.sleep((self.wait or 0) + self.next_pause())
        if self.worker.ids:
            self.log(f"gives up {len(self.worker.ids)} messages that are not done")
        self.answers.save()

    def next_pause(self):
        """ "Connecting": random, so that many devices do not come back at the same moment."""
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.attempts, 10))
        self.attempts += 1
        return random.uniform(0, longest)

    def sleep(self, seconds):
        """Until the work is done if the device has to stop."""
        end = time.monotonic() + seconds
        while not self.is_done() and (self.stopping.is_set() or time.monotonic() < end):
            select.select([self.worker.wake], [], [], 0.1)
            self.deliver()

    def stop(self, *_):
        # A second signal changes nothing.
        if self.work_end is None:
            self.work_end = time.monotonic() + WORK_S
            self.stopping.set()

    def is_done(self):
        return self.stopping.is_set() and (not self.worker.ids or time.monotonic() > self.work_end)

    def connect_once(self):
        """Returns when the connection has ended. Each connection has a client of its own: paho would repeat publishes of the last one."""
        self.client = self.new_client()
        self.in_flight = {}
        self.repeats = set()
        self.handshake_id = None
        self.client.connect(self.url.hostname, self.url.port or (8883 if self.is_tls() else 1883), KEEP_ALIVE_S)
        # A PUBACK and an answer are small, and must not wait for each other.
        self.client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.monotonic() + ANSWER_S
        result = mqtt.MQTT_ERR_SUCCESS
        while result == mqtt.MQTT_ERR_SUCCESS:
            if self.wait is not None or self.is_done():
                return self.say_goodbye()
            if self.handshake_id is None and time.monotonic() > end:
                self.client.disconnect()
                return self.log(f"no connection: no CONNACK and SUBACK in {ANSWER_S} s")
            result = self.loop()
            self.deliver()
        self.log(f"the connection has ended: {mqtt.error_string(result)}")
        # Between two programs with one client id each attempt succeeds.
        self.losses = self.losses + 1 if self.handshake_id is not None else 0
        if self.losses > 1:
            self.log("it ended soon after connecting, again: if the broker was not restarted, is there another program with the same client id?")

    def loop(self):
        """One turn of the connection, as paho's loop() does it, that the worker can wake."""
        wire = self.client.socket()
        if wire is None:
            return mqtt.MQTT_ERR_CONN_LOST
        # TLS may have read more from the network than it has handed over.
        timeout = 0 if self.is_tls() and wire.pending() else 0.1
        wanted = [wire] if self.client.want_write() else []
        readable, writable, _ = select.select([wire, self.worker.wake], wanted, [], timeout)
        result = mqtt.MQTT_ERR_SUCCESS
        if wire in readable or timeout == 0:
            result = self.client.loop_read()
        if wire in writable and result == mqtt.MQTT_ERR_SUCCESS:
            result = self.client.loop_write()
        return result or self.client.loop_misc()

    def is_tls(self):
        return self.url.scheme in ("mqtts", "ssl", "tls")

    def new_client(self):
        if hasattr(mqtt, "CallbackAPIVersion"):
            client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, self.client_id, protocol=mqtt.MQTTv5)
        else:
            # paho 1.6 hides the error of a PUBACK. In MQTT 3.1.1 there is none.
            client = mqtt.Client(self.client_id, protocol=mqtt.MQTTv311)
        if self.url.username:
            client.username_pw_set(unquote(self.url.username), unquote(self.url.password or ""))
        if self.is_tls():
            client.tls_set_context(ssl.create_default_context())
        # The broker publishes it if this device vanishes; it replaces the retained handshake.
        client.will_set(self.in_topic, envelope("offline"), qos=1, retain=True)
        client.on_connect = self.on_connect
        client.on_subscribe = self.on_subscribe
        client.on_message = self.on_message
        client.on_publish = self.on_puback
        return client

    def publish(self, text, retain=False, key=None):
        """`key`: the id of the message that it answers, or that of the handshake"""
        packet_id = self.client.publish(self.in_topic, text, qos=1, retain=retain).mid
        self.in_flight[packet_id] = key

    def publish_answer(self, message_id):
        self.answers.mark(message_id, unsent=True)
        if self.handshake_id is not None:
            self.publish(self.answers.get(message_id), key=message_id)

    def on_puback(self, _client, _userdata, packet_id, reason=None, *_):
        """ "Connecting": with an error, an answer is sent again after the next handshake."""
        key = self.in_flight.pop(packet_id, None)
        code = 0 if reason is None else reason.value
        is_answer = self.answers.get(key) is not None
        if is_answer and code == NO_SUBSCRIBERS:
            return self.repeat_later(key)
        if code < 128:
            if is_answer:
                # Somebody gets answers again.
                self.repeat_pause = FIRST_REPEAT_S
            return self.answers.mark(key, unsent=False)
        self.log(f"the broker refuses a message: {reason}")
        if key == self.handshake_id:
            self.wait = 0

    def repeat_later(self, message_id):
        """ "Connecting": nobody got the answer."""
        if not self.repeats:
            self.repeat_at = time.monotonic() + self.repeat_pause
            self.repeat_pause = min(LONGEST_REPEAT_S, 2 * self.repeat_pause)
        self.repeats.add(message_id)

    # "What a client must do", 2 and 3: subscribe, wait for the SUBACK, then publish the handshake.
    def on_connect(self, client, _userdata, _flags, reason, *_):
        if reason == 0:
            client.subscribe(self.out_topic, qos=1)
        else:
            self.log(f"the broker refuses the connection: {mqtt.connack_string(reason) if isinstance(reason, int) else reason}")

    def on_subscribe(self, client, _userdata, _packet_id, reasons, *_):
        granted = getattr(reasons[0], "value", reasons[0])
        if granted >= 128:
            self.log(f"the broker refuses the subscription: {reasons[0]}")
            self.wait = 0
            return
        if granted == 0:
            self.log("the broker grants QoS 0 only: messages may be lost")
        self.connected_at = time.monotonic()
        self.handshake_id = str(uuid.uuid4())
        facts = {"canonical_facts": {"fqdn": f"{self.client_id}.example.com", "ip_addresses": ["192.0.2.1"]}}
        self.publish(envelope("host-handshake", message_id=self.handshake_id, payload=facts), retain=True, key=self.handshake_id)
        for message_id in self.answers.unsent():
            self.publish_answer(message_id)
        self.log("connected")

    def on_message(self, _client, _userdata, packet):
        try:
            message = json.loads(packet.payload)
        except ValueError:
            return
        if not isinstance(message, dict) or message.get("version") != 1:
            return
        payload = message.get("payload")
        if message.get("type") == "message" and isinstance(message.get("message_id"), str):
            self.handle(message)
        elif message.get("type") == "force-disconnect":
            after = payload.get("reconnect_after") if isinstance(payload, dict) else None
            self.log(f"asked to disconnect, and to reconnect after {after}")
            self.attempts = 0
            self.wait = max(wait_of(after, message.get("sent")), SHORTEST_PAUSE_S)
        elif message.get("type") == "handshake-error":
            # "handshake-error", 1: one about an earlier handshake is late.
            if message.get("in_response_to") not in (None, self.handshake_id):
                return
            payload = payload if isinstance(payload, dict) else {}
            self.log(f"handshake refused: {payload.get('details')}")
            self.wait = max(wait_of(payload.get("retry_after")), SHORTEST_PAUSE_S)

    def handle(self, message):
        """ "What a client must do", 4: do it once, and send the same answer each time that the message comes."""
        message_id = message["message_id"]
        if self.answers.get(message_id) is not None:
            self.publish_answer(message_id)
        # A repeat of what is at work is answered when that is done.
        elif message_id not in self.worker.ids:
            self.log(f"message {message.get('directive')} {json.dumps(message.get('payload'))}")
            if not self.worker.add(message):
                self.finish(message, error_about(message, "too many messages wait for their work"))

    def finish(self, message, answer):
        # Before it is sent: a crash between the two must not do the message again.
        self.answers.put(message["message_id"], remember_until(message), answer)
        self.publish_answer(message["message_id"])

    def deliver(self):
        """What the worker has done, also while there is no connection."""
        for message, text, is_answer in self.worker.take():
            if is_answer:
                self.finish(message, text)
            elif self.handshake_id is not None:
                self.publish(text)
        if self.repeats and time.monotonic() > self.repeat_at:
            again, self.repeats = self.repeats, set()
            for message_id in again:
                if self.answers.until(message_id) > time.time():
                    self.publish_answer(message_id)

    def say_goodbye(self):
        """ "What a client must do", 6: `offline`, then the empty retained message; all PUBACKs; then DISCONNECT."""
        if self.handshake_id is not None:
            self.publish(envelope("offline"))
            self.publish(b"", retain=True)
        end = time.monotonic() + GOODBYE_S
        while self.in_flight and time.monotonic() < end:
            if self.client.loop(timeout=0.1) != mqtt.MQTT_ERR_SUCCESS:
                return
        self.client.disconnect()
        self.log("disconnected")

    def log(self, text):
        print(f"{self.client_id}: {text}", flush=True)


if __name__ == "__main__":
    own_id = os.environ.get("CLIENT_ID", f"device-{uuid.uuid4()}")
    stored = Answers(os.path.join(os.environ.get("STATE_DIR", "."), f"{own_id}.answers.json"))
    device = Device(os.environ.get("MQTT_URL", "mqtt://127.0.0.1:1883"), own_id, stored)
    signal.signal(signal.SIGTERM, device.stop)
    signal.signal(signal.SIGINT, device.stop)
    device.run()
