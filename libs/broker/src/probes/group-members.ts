/** How the broker deals messages to the members of a share group. */
import { ok, probe, weaker, wrong, type Finding, type Measured } from './probe.js';

const MESSAGES = 100;
const QUIET_MS = 400;

export interface OneTopic extends Measured {
  messages: number;
  delivered: number;
  members: number;
}

export const oneTopic = probe<OneTopic>({
  name: 'one topic, two members',
  needed: 'with several lanes: the messages of a topic go to one member',
  limitMs: 5000,
  measure: async (broker) => {
    const members = [await broker.client(), await broker.client()];
    for (const member of members) await member.subscribeAll([broker.topics.shared('topic/+')]);
    const device = await broker.client();
    await device.publishAll(
      Array.from({ length: MESSAGES }, (_, i) => ({ topic: broker.topics.at('topic/a'), payload: `${i}` })),
    );
    for (const member of members) await member.untilQuiet(QUIET_MS, MESSAGES);
    const counts = members.map(({ received }) => received.length);
    return {
      messages: MESSAGES,
      delivered: counts.reduce((total, one) => total + one, 0),
      members: counts.filter((one) => one > 0).length,
    };
  },
  judge: judgeOneTopic,
});

export function judgeOneTopic({ messages, delivered, members }: OneTopic): Finding {
  if (delivered < messages)
    return wrong(`${delivered} of ${messages} delivered`, 'messages of clients are lost although ingesters run');
  if (delivered > messages)
    return wrong(
      `${delivered} deliveries of ${messages} messages`,
      'the share group is ignored: each lane gets everything',
    );
  if (members === 1) return ok('all on one member', 'order holds with any `INTAKE_LANES`');
  return weaker(
    'dealt to both members',
    'order holds with one lane, the default; with more, quick changes of a client may swap',
  );
}

export interface AbsentMember extends Measured {
  messages: number;
  to_present: number;
  to_absent: number;
}

export const absentMember = probe<AbsentMember>({
  name: 'absent member',
  needed: 'what an absent member gets waits for it',
  isEssential: true,
  limitMs: 7000,
  measure: async (broker) => {
    const filter = broker.topics.shared('absent/+');
    const absent = await broker.client({ keepsSession: true });
    await absent.subscribeAll([filter]);
    const present = await broker.client({ keepsSession: true });
    await present.subscribeAll([filter]);
    await absent.leave();
    const device = await broker.client();
    await device.publishAll(
      Array.from({ length: MESSAGES }, (_, i) => ({ topic: broker.topics.at(`absent/${i}`), payload: `${i}` })),
    );
    await present.untilQuiet(QUIET_MS, MESSAGES);
    const back = await broker.client({ clientId: absent.clientId, keepsSession: true });
    await back.untilQuiet(QUIET_MS, MESSAGES);
    return { messages: MESSAGES, to_present: present.received.length, to_absent: back.received.length };
  },
  judge: judgeAbsentMember,
});

export function judgeAbsentMember({ messages, to_present: present, to_absent: absent }: AbsentMember): Finding {
  const text = `${present} to the present one, ${absent} kept for the absent one`;
  const lost = messages - present - absent;
  if (lost > 0 && absent > 0)
    return weaker(
      `${text}, ${lost} lost: queue limited`,
      'beyond the limit, messages are lost while a lane changes its ingester; a sweep repairs states: raise the limit',
    );
  if (lost > 0) return wrong(`${text}, ${lost} lost`, 'messages are lost while a lane changes its ingester');
  return ok(
    text,
    absent > 0 ? 'they wait until an ingester has taken over the lane' : 'the other lanes get them at once',
  );
}
