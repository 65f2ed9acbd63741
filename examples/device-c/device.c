/*
 * A device that stays connected to Cloud Connector. Copy it and put your own work into perform().
 *
 *   MQTT_URL=mqtt://127.0.0.1:1883 CLIENT_ID=my-host ./device
 *
 * MQTT_URL may carry a user and a password: mqtts://user:password@broker.example.com:8883. With mqtts the certificate is checked against
 * the authorities of the system, or those in the file that SSL_CERT_FILE names. STATE_DIR is the folder of the answers.
 *
 * It has one thread (see keep_alive()), and needs libmosquitto and cJSON. Sections in the comments are those of docs/protocol.md.
 */
#define _GNU_SOURCE
#include <cjson/cJSON.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <mosquitto.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
  KEEP_ALIVE_S = 60,
  FIRST_PAUSE_S = 2,            /* "Connecting": the longest pause before the first reconnect. It doubles with each attempt. */
  LONGEST_PAUSE_S = 120,
  HEALTHY_S = 60,               /* After a connection that lasted so long, the pauses begin with the first one again. */
  SHORTEST_PAUSE_S = 1,         /* After a refused handshake and a forced disconnect the device stays away at least so long. */
  NEVER_S = 3600,               /* `never` lasts until an operator ends it. No message says when, so the device tries at this interval. */
  REMEMBER_S = 600,             /* "message": an answer is remembered until its message has expired, and so much longer. */
  LONGEST_LIFE_S = 30 * 86400,  /* How long a message of release 0.1.0 may live, which does not say when it expires. */
  MAX_ANSWERS = 1000,           /* With more answers than this, the device forgets the oldest. */
  NO_SUBSCRIBERS = 0x10,        /* "Connecting": an answer that nobody got is sent again after so long, */
  FIRST_REPEAT_S = 1,
  LONGEST_REPEAT_S = 60,        /* twice as long each time. */
  MAX_ANSWER_BYTES = 262144,    /* "Envelope": the service takes no larger answer (MAX_INBOUND_BYTES). */
  MAX_DEPTH = 32,               /* An answer may nest so many levels deep; its envelope is one. */
  ANSWER_S = 20,                /* How long it waits for CONNACK and SUBACK, */
  GOODBYE_S = 10,               /* a goodbye for its PUBACKs, */
  WORK_S = 10,                  /* and the end of the program for work that waits. */
  MAX_WAITING = 1000,           /* With more messages than this that wait for their work, the device refuses others. */
  LOOP_MS = 100,
  TO_REPEAT = -1,
};

typedef struct { char text[37]; } Uuid;

static struct {
  const char *id;
  bool tls;
  int port;
  char *host, *user, *password;
  char in_topic[320], out_topic[320], answers_path[PATH_MAX], new_path[PATH_MAX + 8];
  cJSON *answers;               /* {id, until, answer}, the oldest first: also the content of the file, in all example devices */
  cJSON *waiting;               /* messages that wait for their work; the first may be at work */
  int in_flight;                /* publishes of this connection without a PUBACK */
  int attempts;                 /* failed ones: each makes the next pause longer */
  double connected_at;          /* when the broker accepted this connection; INFINITY before that */
  int losses;                   /* connections in a row that ended soon */
  double back_at;               /* when to come back, once the service has asked the device to leave; 0 if it has not */
  bool has_left;                /* this connection has its goodbye */
  double repeat_at, repeat_pause; /* when the answers that nobody got are sent again, and the next pause */
  int handshake_packet;
  Uuid handshake_id;            /* empty before the handshake of this connection */
} device;
static volatile sig_atomic_t stopping = 0;

static void on_signal(int number) { (void)number; stopping = 1; }

#define say(...) (printf("%s: ", device.id), printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

#define fail_with(...) (fprintf(stderr, __VA_ARGS__), exit(1))
static void fail(const char *what) { perror(what); exit(1); }

static double seconds_of(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static Uuid new_uuid(void) {
  Uuid uuid;
  FILE *file = fopen("/proc/sys/kernel/random/uuid", "r");
  if (file == NULL || fgets(uuid.text, sizeof uuid.text, file) == NULL) fail("/proc/sys/kernel/random/uuid");
  fclose(file);
  return uuid;
}

/* Seconds since 1970 of an RFC 3339 timestamp; NAN if it is none. */
static double parse_time(const char *text) {
  struct tm t = {0};
  double seconds;
  int hours = 0, minutes = 0, end = 0;
  char sign = 'Z';
  if (text == NULL || sscanf(text, "%4d-%2d-%2dT%2d:%2d:%lf%n", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &seconds, &end) != 6)
    return NAN;
  if (strcmp(text + end, "Z") != 0 && sscanf(text + end, "%c%2d:%2d", &sign, &hours, &minutes) != 3) return NAN;
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  return (double)timegm(&t) + seconds - (sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/* How long to stay away, from `reconnect_after` or `retry_after`: a duration such as PT30S, a time, or `never`. 0 if it is absent or
 * cannot be read: the service refuses a handshake that is too early. A time counts from `sent`, by the clock of the service: the clock of
 * the device may be wrong. */
static double wait_of(const char *text, const char *sent) {
  if (text == NULL) return 0;
  if (strcmp(text, "never") == 0) return NEVER_S;
  double from = parse_time(sent);
  if (*text != 'P') return fmax(0, parse_time(text) - (isnan(from) ? seconds_of(CLOCK_REALTIME) : from));
  double total = 0;
  for (const char *at = text + 1; *at != '\0'; at++) {
    if (*at == 'T') continue;
    char *unit;
    double number = strtod(at, &unit);
    switch (unit == at ? '\0' : *unit) {
      case 'W': total += number * 7 * 86400; break;
      case 'D': total += number * 86400; break;
      case 'H': total += number * 3600; break;
      case 'M': total += number * 60; break; /* There are no months. */
      case 'S': total += number; break;
      default: return 0;
    }
    at = unit;
  }
  return total;
}

static const char *text_of(const cJSON *object, const char *name) { return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)); }

/* "Envelope". Takes over `payload`, which may be NULL. The caller frees the text. */
static char *envelope(const char *type, const char *message_id, const char *in_response_to, cJSON *payload) {
  char sent[32];
  time_t now = time(NULL);
  strftime(sent, sizeof sent, "%Y-%m-%dT%H:%M:%SZ", gmtime(&now));
  cJSON *message = cJSON_CreateObject();
  cJSON_AddStringToObject(message, "type", type);
  cJSON_AddStringToObject(message, "message_id", message_id);
  cJSON_AddNumberToObject(message, "version", 1);
  cJSON_AddStringToObject(message, "sent", sent);
  if (in_response_to != NULL) cJSON_AddStringToObject(message, "in_response_to", in_response_to);
  if (payload != NULL) cJSON_AddItemToObject(message, "payload", payload);
  char *text = cJSON_PrintUnformatted(message);
  cJSON_Delete(message);
  return text;
}

/* Publishes at QoS 1, but nothing after a goodbye, and nothing without a connection. @returns the packet id */
static int publish(struct mosquitto *client, const char *text, bool retain) {
  int packet_id = 0;
  if (device.has_left) return packet_id;
  int result = mosquitto_publish(client, &packet_id, device.in_topic, (int)strlen(text), text, 1, retain);
  if (result == MOSQ_ERR_SUCCESS) device.in_flight++;
  else if (result != MOSQ_ERR_NO_CONN) say("publish: %s", mosquitto_strerror(result));
  return packet_id;
}

/* Frees the text. */
static void publish_and_free(struct mosquitto *client, char *text, bool retain) { publish(client, text, retain); free(text); }

/* "What a client must do", 6: `offline`, then the empty retained message; all PUBACKs; then DISCONNECT. */
static void say_goodbye(struct mosquitto *client) {
  if (device.has_left) return;
  if (*device.handshake_id.text != '\0') {
    publish_and_free(client, envelope("offline", new_uuid().text, NULL, NULL), false);
    publish(client, "", true);
  }
  device.has_left = true;
  double end = seconds_of(CLOCK_MONOTONIC) + GOODBYE_S;
  while (device.in_flight > 0 && seconds_of(CLOCK_MONOTONIC) < end)
    if (mosquitto_loop(client, LOOP_MS, 1) != MOSQ_ERR_SUCCESS) return;
  mosquitto_disconnect(client);
  say("disconnected");
}

/* `"unsent": true`, an answer without a PUBACK, or that nobody got: it is sent again after the next handshake, also by the next program.
 * The service takes an answer that comes twice once. In memory, its `valueint` is the packet id, or TO_REPEAT. */
static cJSON *unsent_of(const cJSON *entry) { return cJSON_GetObjectItemCaseSensitive(entry, "unsent"); }
static bool is_unsent(const cJSON *entry) { return cJSON_IsTrue(unsent_of(entry)); }
static double until_of(const cJSON *entry) { return cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(entry, "until")); }

static void publish_answer(struct mosquitto *client, cJSON *entry) {
  cJSON_DeleteItemFromObjectCaseSensitive(entry, "unsent");
  cJSON_AddTrueToObject(entry, "unsent")->valueint = publish(client, text_of(entry, "answer"), false);
}

/* "Connecting": an answer that nobody got is sent again after a pause. */
static void repeat_answers(struct mosquitto *client) {
  if (seconds_of(CLOCK_MONOTONIC) < device.repeat_at) return;
  device.repeat_at = INFINITY;
  cJSON *entry;
  cJSON_ArrayForEach(entry, device.answers)
    if (is_unsent(entry) && unsent_of(entry)->valueint == TO_REPEAT && until_of(entry) > seconds_of(CLOCK_REALTIME)) publish_answer(client, entry);
}

/* For work that lasts long: waits for a time, which may be 0, sends what was published, and takes what comes. If the service asks the
 * device to disconnect, it does so, and the work goes on. Returns false when the device has to stop: then the work should end. */
static bool keep_alive(struct mosquitto *client, double seconds) {
  double end = seconds_of(CLOCK_MONOTONIC) + seconds;
  do {
    int ms = seconds > 0 ? LOOP_MS : 0;
    if (mosquitto_loop(client, ms, 1) != MOSQ_ERR_SUCCESS) usleep((useconds_t)ms * 1000); /* The connection is lost. */
    repeat_answers(client);
    if (device.back_at > 0) say_goodbye(client);
  } while (!stopping && seconds_of(CLOCK_MONOTONIC) < end);
  return !stopping;
}

/* How many bytes of a text to show: at most `most`, and no part of a character. */
static int shown_bytes(const char *text, int most) {
  if (strlen(text) > (size_t)most)
    while (most > 0 && (text[most] & 0xC0) == 0x80) most--;
  return most;
}

/* Does what a message asks. Returns the payload of the answer, or NULL with `error`: then the message becomes `failed`. There is one
 * thread: work that lasts longer than 10 seconds calls keep_alive() at least that often, and ends if that returns false. */
static cJSON *perform(struct mosquitto *client, const cJSON *message, char *error, size_t error_size) {
  const char *directive = text_of(message, "directive");
  if (directive == NULL) directive = "that";
  const cJSON *payload = cJSON_GetObjectItemCaseSensitive(message, "payload");
  cJSON *result = cJSON_CreateObject();
  error[0] = '\0';
  if (strcmp(directive, "demo:ping") == 0) {
    cJSON_AddItemToObject(result, "pong", payload == NULL ? cJSON_CreateNull() : cJSON_Duplicate(payload, true));
  } else if (strcmp(directive, "demo:work") == 0) {
    double steps = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(payload, "steps"));
    steps = isnan(steps) ? 2 : fmin(100, steps);
    cJSON_AddNumberToObject(result, "steps", steps);
    for (int step = 0; step < steps && error[0] == '\0'; step++) {
      cJSON *progress = cJSON_CreateObject();
      cJSON_AddNumberToObject(progress, "percent", floor(100 * step / steps));
      publish_and_free(client, envelope("message-progress", new_uuid().text, text_of(message, "message_id"), progress), false);
      if (!keep_alive(client, 1)) snprintf(error, error_size, "the device stops");
    }
  } else snprintf(error, error_size, "this device cannot do %.*s; it can do demo:ping and demo:work", shown_bytes(directive, 200), directive);
  if (error[0] == '\0') return result;
  cJSON_Delete(result);
  return NULL;
}

/* Takes away the answers whose time is over, and the oldest if there are too many. */
static void forget_old(void) {
  for (int i = cJSON_GetArraySize(device.answers) - 1; i >= 0; i--) {
    const cJSON *entry = cJSON_GetArrayItem(device.answers, i);
    /* A clock that jumps must not take away what was not sent. */
    if (!is_unsent(entry) && until_of(entry) < seconds_of(CLOCK_REALTIME)) cJSON_DeleteItemFromArray(device.answers, i);
  }
  while (cJSON_GetArraySize(device.answers) > MAX_ANSWERS) cJSON_DeleteItemFromArray(device.answers, 0);
}

/* Writes another file first: a crash leaves the old one or the new one. A PUBACK is written with the next answer, or at the end. */
static void save_answers(void) {
  char *text = cJSON_PrintUnformatted(device.answers);
  FILE *file = fopen(device.new_path, "w");
  bool written = file != NULL && fputs(text, file) != EOF && fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (!written || rename(device.new_path, device.answers_path) != 0)
    say("%s cannot be written: %s; after a restart a repeat would be done again", device.answers_path, strerror(errno));
  if (file != NULL) fclose(file);
  free(text);
}

static bool are_answers(const cJSON *read) {
  const cJSON *entry;
  cJSON_ArrayForEach(entry, read) {
    bool has_until = cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(entry, "until"));
    if (!has_until || text_of(entry, "id") == NULL || text_of(entry, "answer") == NULL) return false;
  }
  return cJSON_IsArray(read);
}

static void load_answers(void) {
  char *text = NULL;
  size_t size = 0;
  FILE *file = fopen(device.answers_path, "r");
  const char *why = file == NULL && errno != ENOENT ? strerror(errno) : "it is no JSON array of {id, until, answer}";
  if (file == NULL && errno == ENOENT) device.answers = cJSON_CreateArray();
  if (file != NULL && getdelim(&text, &size, '\0', file) >= 0) device.answers = cJSON_Parse(text);
  if (file != NULL) fclose(file);
  free(text);
  if (!are_answers(device.answers)) fail_with("%s cannot be read: %s; delete it, and repeats will be done again\n", device.answers_path, why);
  file = fopen(device.new_path, "w");
  if (file == NULL || fclose(file) != 0 || unlink(device.new_path) != 0)
    fail_with("%s cannot be written: %s; its folder must be one in which this program may write\n", device.answers_path, strerror(errno));
}

/* Counted from the arrival of the message, so that the clock of the device may be wrong. */
static double remember_until(const cJSON *message) {
  double life = parse_time(text_of(message, "expires")) - parse_time(text_of(message, "sent"));
  return seconds_of(CLOCK_REALTIME) + (isnan(life) ? LONGEST_LIFE_S : fmax(0, life)) + REMEMBER_S;
}

/* The element whose `member` is the id; NULL if there is none. */
static cJSON *find(const cJSON *array, const char *member, const char *id) {
  cJSON *one;
  cJSON_ArrayForEach(one, array) if (strcmp(text_of(one, member), id) == 0) return one;
  return NULL;
}

static bool is_deeper_than(int levels, const cJSON *value) {
  if (!cJSON_IsArray(value) && !cJSON_IsObject(value)) return false;
  if (levels == 0) return true;
  const cJSON *member;
  cJSON_ArrayForEach(member, value) if (is_deeper_than(levels - 1, member)) return true;
  return false;
}

/* Stores and publishes the answer; with `payload` NULL a message-error. */
static void answer(struct mosquitto *client, const cJSON *message, cJSON *payload, const char *error) {
  const char *message_id = text_of(message, "message_id");
  char why[100];
  if (is_deeper_than(MAX_DEPTH - 1, payload)) {
    snprintf(why, sizeof why, "the answer nests deeper than %d levels", MAX_DEPTH);
    cJSON_Delete(payload);
    payload = NULL;
    error = why;
  }
  const char *type = payload == NULL ? "message-error" : "message-response";
  if (payload == NULL) cJSON_AddStringToObject(payload = cJSON_CreateObject(), "details", error);
  char *text = envelope(type, new_uuid().text, message_id, payload);
  if (strlen(text) > MAX_ANSWER_BYTES) {
    snprintf(why, sizeof why, "the answer has %zu bytes, and may have %d", strlen(text), MAX_ANSWER_BYTES);
    free(text);
    answer(client, message, NULL, why);
    return;
  }
  cJSON *entry = cJSON_CreateObject();
  cJSON_AddStringToObject(entry, "id", message_id);
  cJSON_AddNumberToObject(entry, "until", remember_until(message));
  cJSON_AddStringToObject(entry, "answer", text);
  cJSON_AddTrueToObject(entry, "unsent");
  free(text);
  cJSON_AddItemToArray(device.answers, entry);
  forget_old();
  save_answers(); /* Before it is sent: a crash between the two must not do the message again. */
  publish_answer(client, entry);
}

/* "What a client must do", 4: do it once, and send the same answer each time that the message comes. A repeat of what waits or is at
 * work is answered when that is done. With a `fault` it is refused. Takes over the message. */
static void receive_message(struct mosquitto *client, cJSON *message, const char *fault) {
  const char *message_id = text_of(message, "message_id");
  cJSON *known = message_id == NULL ? NULL : find(device.answers, "id", message_id);
  if (known != NULL) publish_answer(client, known);
  else if (message_id != NULL && find(device.waiting, "message_id", message_id) == NULL) {
    if (cJSON_GetArraySize(device.waiting) >= MAX_WAITING) fault = "too many messages wait for their work";
    if (fault == NULL) {
      cJSON_AddItemToArray(device.waiting, message);
      return;
    }
    answer(client, message, NULL, fault);
  }
  cJSON_Delete(message);
}

/* Not in a callback, so that progress is sent at once, and keep_alive() may receive more. */
static void work(struct mosquitto *client) {
  const cJSON *message = cJSON_GetArrayItem(device.waiting, 0);
  if (message == NULL) return;
  char error[1000];
  const char *directive = text_of(message, "directive");
  say("message %s", directive == NULL ? "without a directive" : directive);
  answer(client, message, perform(client, message, error, sizeof error), error);
  cJSON_DeleteItemFromArray(device.waiting, 0);
}

/* "Connecting": with an error, an answer is sent again after the next handshake; if nobody got it, after a pause too. */
static void on_publish(struct mosquitto *client, void *data, int packet_id, int reason, const mosquitto_property *properties) {
  (void)client, (void)data, (void)properties;
  cJSON *entry;
  double now = seconds_of(CLOCK_MONOTONIC);
  bool is_error = reason >= 0x80;
  device.in_flight--;
  if (is_error) say("the broker refuses a message: %s", mosquitto_reason_string(reason));
  if (is_error && packet_id == device.handshake_packet) device.back_at = now;
  cJSON_ArrayForEach(entry, device.answers) if (is_unsent(entry) && unsent_of(entry)->valueint == packet_id) break;
  if (entry == NULL) return;
  unsent_of(entry)->valueint = reason == NO_SUBSCRIBERS ? TO_REPEAT : 0;
  if (reason == NO_SUBSCRIBERS && isinf(device.repeat_at)) {
    device.repeat_at = now + device.repeat_pause;
    device.repeat_pause = fmin(LONGEST_REPEAT_S, 2 * device.repeat_pause);
  }
  if (is_error || reason == NO_SUBSCRIBERS) return;
  device.repeat_pause = FIRST_REPEAT_S;
  cJSON_DeleteItemFromObjectCaseSensitive(entry, "unsent");
}

/* "What a client must do", 2 and 3: subscribe, wait for the SUBACK, then publish the handshake. */
static void on_connect(struct mosquitto *client, void *data, int result) {
  (void)data;
  if (result == 0) {
    device.connected_at = seconds_of(CLOCK_MONOTONIC);
    mosquitto_subscribe(client, NULL, device.out_topic, 1);
  } else say("the broker refuses the connection: %s", mosquitto_reason_string(result));
}

static void on_subscribe(struct mosquitto *client, void *data, int packet_id, int count, const int *granted) {
  (void)data, (void)packet_id;
  if (count != 1 || granted[0] > 2) {
    say("the broker refuses the subscription");
    device.back_at = seconds_of(CLOCK_MONOTONIC);
    return;
  }
  if (granted[0] == 0) say("the broker grants QoS 0 only: messages may be lost");
  device.handshake_id = new_uuid();
  char name[300];
  snprintf(name, sizeof name, "%s.example.com", device.id);
  cJSON *payload = cJSON_CreateObject();
  cJSON_AddStringToObject(cJSON_AddObjectToObject(payload, "canonical_facts"), "fqdn", name);
  char *handshake = envelope("host-handshake", device.handshake_id.text, NULL, payload);
  device.handshake_packet = publish(client, handshake, true);
  free(handshake);
  cJSON *entry;
  cJSON_ArrayForEach(entry, device.answers) if (is_unsent(entry)) publish_answer(client, entry);
  say("connected");
}

/* cJSON ends a string at \u0000. After an odd number of backslashes, what looks like it is an escaped backslash and `u0000`. */
static bool has_nul(const char *text, size_t length) {
  const char *end = text + length;
  for (const char *at = text; (at = memmem(at, (size_t)(end - at), "\\u0000", 6)) != NULL; at += 6) {
    const char *first = at;
    while (first > text && first[-1] == '\\') first--;
    if ((at - first) % 2 == 0) return true;
  }
  return false;
}

static void on_message(struct mosquitto *client, void *data, const struct mosquitto_message *packet) {
  (void)data;
  cJSON *message = cJSON_ParseWithLength(packet->payload, (size_t)packet->payloadlen);
  const char *type = text_of(message, "type");
  const cJSON *payload = cJSON_GetObjectItemCaseSensitive(message, "payload");
  if (cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(message, "version")) != 1) type = NULL; /* "What a client must do", 7 */
  if (type != NULL && strcmp(type, "message") == 0) {
    bool is_cut = has_nul(packet->payload, (size_t)packet->payloadlen);
    receive_message(client, message, is_cut ? "this device cannot read \\u0000" : NULL);
    return;
  }
  if (type != NULL && strcmp(type, "force-disconnect") == 0) {
    const char *after = text_of(payload, "reconnect_after");
    say("asked to disconnect, and to reconnect after %s", after == NULL ? "a pause" : after);
    device.attempts = 0;
    device.back_at = seconds_of(CLOCK_MONOTONIC) + fmax(wait_of(after, text_of(message, "sent")), SHORTEST_PAUSE_S);
  }
  if (type != NULL && strcmp(type, "handshake-error") == 0) {
    /* "handshake-error", 1: one about an earlier handshake is late. */
    const char *about = text_of(message, "in_response_to");
    if (about == NULL || strcmp(about, device.handshake_id.text) == 0) {
      const char *details = text_of(payload, "details");
      say("handshake refused: %s", details == NULL ? "" : details);
      device.back_at = seconds_of(CLOCK_MONOTONIC) + fmax(wait_of(text_of(payload, "retry_after"), NULL), SHORTEST_PAUSE_S);
    }
  }
  cJSON_Delete(message);
}

/* Returns when the connection has ended. Each connection has a client of its own: libmosquitto would repeat publishes of the last one. */
static void connect_once(void) {
  struct mosquitto *client = mosquitto_new(device.id, true, NULL);
  char *will = envelope("offline", new_uuid().text, NULL, NULL);
  device.in_flight = 0;
  device.repeat_at = INFINITY;
  device.repeat_pause = FIRST_REPEAT_S;
  device.has_left = false;
  device.handshake_id.text[0] = '\0';
  if (client == NULL) fail("mosquitto_new");
  mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
  /* The broker publishes it if this device vanishes; it replaces the retained handshake. */
  mosquitto_will_set(client, device.in_topic, (int)strlen(will), will, 1, true);
  free(will);
  if (device.user != NULL) mosquitto_username_pw_set(client, device.user, device.password);
  mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
  if (device.tls) mosquitto_int_option(client, MOSQ_OPT_TLS_USE_OS_CERTS, 1);
  mosquitto_connect_callback_set(client, on_connect);
  mosquitto_subscribe_callback_set(client, on_subscribe);
  mosquitto_message_callback_set(client, on_message);
  mosquitto_publish_v5_callback_set(client, on_publish);
  int result = mosquitto_connect(client, device.host, device.port, KEEP_ALIVE_S);
  double end = seconds_of(CLOCK_MONOTONIC) + ANSWER_S;
  while (result == MOSQ_ERR_SUCCESS && !stopping && device.back_at == 0) {
    if (*device.handshake_id.text == '\0' && seconds_of(CLOCK_MONOTONIC) > end) break;
    result = mosquitto_loop(client, cJSON_GetArraySize(device.waiting) > 0 ? 0 : LOOP_MS, 1);
    repeat_answers(client);
    if (result == MOSQ_ERR_SUCCESS && *device.handshake_id.text != '\0') work(client);
  }
  if (result == MOSQ_ERR_SUCCESS) {
    if (!stopping && device.back_at == 0) say("no connection: no CONNACK and SUBACK in %d s", ANSWER_S);
    double work_end = seconds_of(CLOCK_MONOTONIC) + WORK_S;
    while (stopping && *device.handshake_id.text != '\0' && cJSON_GetArraySize(device.waiting) > 0 && seconds_of(CLOCK_MONOTONIC) < work_end)
      work(client);
    say_goodbye(client);
  } else {
    bool online = *device.handshake_id.text != '\0';
    say("%s: %s", online ? "the connection has ended" : "no connection", mosquitto_strerror(result));
    device.losses = online ? device.losses + 1 : 0; /* Between two programs with one client id each attempt succeeds. */
    if (device.losses > 1) say("it ended soon after connecting, again: if the broker was not restarted, is there another program with the same client id?");
  }
  mosquitto_destroy(client);
}

/* "Connecting": random, so that many devices do not come back at the same moment. */
static double next_pause(void) {
  double longest = fmin(LONGEST_PAUSE_S, FIRST_PAUSE_S * pow(2, device.attempts));
  unsigned number;
  if (getentropy(&number, sizeof number) != 0) fail("getentropy");
  if (device.attempts < 10) device.attempts++;
  return longest * number / UINT_MAX;
}

/* Decodes %40 and the like, in place. */
static char *decoded(char *text) {
  unsigned code;
  for (char *at = text; (at = strchr(at, '%')) != NULL; at++)
    if (sscanf(at + 1, "%2x", &code) == 1) { *at = (char)code; memmove(at + 1, at + 3, strlen(at + 3) + 1); }
  return text;
}

/* mqtt://user:password@host:port, of which user, password and port may be absent */
static void read_url(const char *url) {
  char *rest = strstr(url, "://");
  if (rest == NULL) { fprintf(stderr, "MQTT_URL is not of the form mqtt://host:port\n"); exit(2); }
  device.tls = strncmp(url, "mqtts:", 6) == 0;
  rest = strdup(rest + 3);
  rest[strcspn(rest, "/")] = '\0';
  char *at = strrchr(rest, '@');
  if (at != NULL) {
    *at = '\0';
    char *colon = strchr(rest, ':');
    if (colon != NULL) { *colon = '\0'; device.password = decoded(colon + 1); }
    device.user = decoded(rest);
    rest = at + 1;
  }
  char *port = strrchr(rest, ':');
  if (port != NULL) *port = '\0';
  device.host = rest;
  device.port = port != NULL ? atoi(port + 1) : device.tls ? 8883 : 1883;
}

static const char *setting(const char *name, const char *otherwise) {
  const char *value = getenv(name);
  return value == NULL || *value == '\0' ? otherwise : value;
}

int main(void) {
  Uuid random_id = new_uuid();
  device.id = setting("CLIENT_ID", random_id.text);
  read_url(setting("MQTT_URL", "mqtt://127.0.0.1:1883"));
  snprintf(device.in_topic, sizeof device.in_topic, "redhat/insights/in/%s", device.id);
  snprintf(device.out_topic, sizeof device.out_topic, "redhat/insights/out/%s", device.id);
  snprintf(device.answers_path, sizeof device.answers_path, "%s/%s.answers.json", setting("STATE_DIR", "."), device.id);
  snprintf(device.new_path, sizeof device.new_path, "%s.new", device.answers_path);
  load_answers();
  device.waiting = cJSON_CreateArray();
  signal(SIGPIPE, SIG_IGN);
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  mosquitto_lib_init();
  while (!stopping) {
    device.back_at = 0;
    device.connected_at = INFINITY;
    connect_once();
    if (seconds_of(CLOCK_MONOTONIC) - device.connected_at > HEALTHY_S) device.attempts = device.losses = 0;
    double end = fmax(seconds_of(CLOCK_MONOTONIC), device.back_at) + next_pause();
    while (!stopping && seconds_of(CLOCK_MONOTONIC) < end) usleep(LOOP_MS * 1000);
  }
  /* Nobody works on what still waits: its answers go out after the next start. */
  const cJSON *message;
  device.has_left = true;
  cJSON_ArrayForEach(message, device.waiting) answer(NULL, message, NULL, "the device stops");
  save_answers();
  cJSON_Delete(device.answers);
  cJSON_Delete(device.waiting);
  mosquitto_lib_cleanup();
  return 0;
}
