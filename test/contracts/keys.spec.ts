/** Every key that the code builds stands in the table of docs/architecture.md. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RegistryKeys, messageKeyEndings } from '@app/registry';
import { ShardingKeys } from '@app/sharding';

const page = readFileSync(join(__dirname, '../../docs/architecture.md'), 'utf8');
/** Stands for the number of a shard as the table writes it. */
const S = '<s>' as unknown as number;
const SHARD = { kind: 'shard', index: S } as const;
const OUTBOUND = { kind: 'outbound', index: S } as const;
const keys = new RegistryKeys('cc');

/** What each builder makes; a queue's prefix is followed by names of BullMQ, and that of the counters by a caller or an address. */
const BUILT: Readonly<Record<string, readonly string[]>> = {
  mailbox: [keys.mailbox(S)],
  position: [keys.position(S)],
  log: [keys.log(S)],
  logMinutes: [keys.logMinutes(S)],
  laneFences: [keys.laneFences(S)],
  deliveries: [keys.deliveries(S, '<lane>' as unknown as number)],
  epoch: [keys.epoch(SHARD), keys.epoch(OUTBOUND)],
  owner: [keys.owner(SHARD), keys.owner(OUTBOUND)],
  cluster: Object.values(keys.cluster),
  dispatchers: Object.values(keys.dispatchers),
  gateways: Object.values(keys.gateways),
  clusterChannel: [keys.clusterChannel],
  marker: [keys.marker],
  format: [keys.format(S)],
  queuePrefix: [`${keys.queuePrefix}:wake-ups:…`, `${keys.queuePrefix}:maintenance:…`],
  requestLimits: [`${keys.requestLimits}:…`],
  replies: [keys.replies('<gateway>')],
  finalMessages: [keys.finalMessages('<gateway>')],
  connections: [keys.connections(S)],
  online: [keys.online(S, 'host'), keys.online(S, 'host', '<account>').replace(/online:host$/, '…')],
  offline: [keys.offline(S, 'host', '<reason>' as 'unknown')],
  held: [keys.held(S)],
  refused: [keys.refused(S)],
  facts: [keys.facts(S, '<bucket>' as unknown as number)],

  accounts: [keys.accounts(S)],
  accountsAsked: [keys.accountsAsked(S)],
  waitingBytes: [keys.waitingBytes(S)],
  events: [keys.events(S)],
  talkEvents: [keys.talkEvents(S)],
  refusalEvents: [keys.refusalEvents(S)],
  deadLetters: [keys.deadLetters(S)],
  todo: [keys.todo(S)],
  expiry: [keys.expiry(S)],
  awaiting: [keys.awaiting(S)],
  finishedCount: [keys.finishedCount(S)],
  finishedDue: [keys.finishedDue(S)],
  finishedBytes: [keys.finishedBytes(S)],
  finishedOf: [keys.finishedOf(S, '<payer>')],
  outbox: [keys.outbox(S, '<client id>')],
  outboxBytes: [keys.outboxBytes(S)],
  message: [keys.message(S, '<message id>')],
  payload: [keys.payload(S, '<message id>')],
  messages: [keys.messages(S, '<client id>')],
  idempotency: [keys.idempotency(S, '<client id>', '<key>')],
  ready: [keys.ready(S)],
  claimed: [keys.claimed(S)],
  claims: [keys.claims(S)],
  outboundClosing: [keys.outboundClosing(S)],
  sweepCounts: [keys.sweepCounts(S, '<sweep id>')],
  swept: [keys.swept(S)],
  reported: [keys.reported(S)],
  lastSweep: [keys.lastSweep],
  connectionCounts: [keys.connectionCounts],
  sendingTimes: [keys.sendingTimes],
  sweepIds: [keys.sweepIds],
  endedSweeps: [keys.endedSweeps],
  laneMarker: [keys.laneMarker('<id>')],
  broker: [keys.broker],
  brokerCheck: [keys.brokerCheck],
  refusals: keys.refusals(S),
};

/** Members that build parts of keys, or gather keys that others build. */
const PARTS = ['constructor', 'shard', 'leasePrefix', 'scope', 'ofMessages', 'buildOfMessages'];

it('the list of this spec names each method that builds a key', () => {
  const members = [ShardingKeys, RegistryKeys].flatMap(({ prototype }) => Object.getOwnPropertyNames(prototype));
  const builders = members.filter(
    (name) =>
      !PARTS.includes(name) && !/^(facts|message|payload|finishedOf|outbox|messages|idempotency)Prefix$/.test(name),
  );
  expect(builders.toSorted()).toEqual(Object.keys(BUILT).toSorted());
});

it.each(Object.entries(BUILT))('the table of keys in docs/architecture.md describes the key of %s', (_, built) => {
  for (const key of built) expect(page).toContain(`\`${key}\``);
});

it('commands on messages build the same keys as the code, from the first part of the keys of a shard', () => {
  const { shard, ...others } = keys.ofMessages(7);
  const built = Object.entries(messageKeyEndings()).map(([name, ending]) => [name, shard + ending]);
  expect(Object.fromEntries(built)).toEqual(others);
});
