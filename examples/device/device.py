"""
A device in Python that answers messages: python3 device.py --id my-host [--port 1883]

Needs one package: paho-mqtt (Debian: python3-paho-mqtt). It shows that a client needs nothing but an MQTT library. Its answers are in
memory: if its work must not be done twice, it has to keep them on disk. For the waits of a force-disconnect and of refused handshakes,
see device.mjs.
"""

import argparse
import json
import uuid
from datetime import datetime, timezone

import paho.mqtt.client as mqtt

parser = argparse.ArgumentParser()
parser.add_argument("--id", required=True)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=1883)
options = parser.parse_args()

IN_TOPIC = f"redhat/insights/in/{options.id}"
OUT_TOPIC = f"redhat/insights/out/{options.id}"
MAX_ANSWERS = 1000
# The answer to each message by its id: the service may send a message twice.
answers = {}


def envelope(message_type, **more):
    sent = datetime.now(timezone.utc).isoformat()
    return json.dumps({"type": message_type, "message_id": str(uuid.uuid4()), "version": 1, "sent": sent, **more})


def perform(message):
    """Put your own work here: what it returns is the payload of the answer."""
    if message["directive"] != "demo:ping":
        raise ValueError(f"this device cannot do {message['directive']}; it can do demo:ping")
    return {"pong": message.get("payload")}


def answer_to(message):
    about = {"in_response_to": message["message_id"]}
    try:
        return envelope("message-response", **about, payload=perform(message))
    except Exception as error:
        return envelope("message-error", **about, payload={"details": str(error)})


def on_connect(client, *_):
    client.subscribe(OUT_TOPIC, qos=1)


def on_subscribe(client, *_):
    # After the subscription, so that no message that follows the handshake is missed.
    facts = {"canonical_facts": {"fqdn": f"{options.id}.example.com"}}
    client.publish(IN_TOPIC, envelope("host-handshake", payload=facts), qos=1, retain=True)


def on_message(client, _, packet):
    message = json.loads(packet.payload)
    if message["type"] != "message":
        return
    message_id = message["message_id"]
    if message_id not in answers:
        print(message["directive"], message.get("payload"), flush=True)
        answers[message_id] = answer_to(message)
        if len(answers) > MAX_ANSWERS:
            del answers[next(iter(answers))]
    client.publish(IN_TOPIC, answers[message_id], qos=1)


if hasattr(mqtt, "CallbackAPIVersion"):
    device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.id, protocol=mqtt.MQTTv5)
else:
    device = mqtt.Client(client_id=options.id, protocol=mqtt.MQTTv5)
device.on_connect = on_connect
device.on_subscribe = on_subscribe
device.on_message = on_message
device.will_set(IN_TOPIC, envelope("offline"), qos=1, retain=True)
device.connect(options.host, options.port)
device.loop_forever()
